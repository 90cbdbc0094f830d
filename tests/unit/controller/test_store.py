from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.placement import PlacementStrategy
from penstock_controller import store as store_module
from penstock_controller.fleet import Place
from penstock_controller.records import ChainPlace, Promotion, ScaleDecision, StreamLimits
from penstock_controller.restarts import PlaceState, Restarts
from penstock_controller.scaling.config import Metric, ScalingSettings
from penstock_controller.scaling.overrides import ScalingOverrides
from penstock_controller.store import Store
from penstock_testing.controller_parts import WALL, deployment


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "controller.db")
    yield opened
    opened.close()


def reopened(store: Store, folder: Path) -> Store:
    store.close()
    return Store(folder / "controller.db")


def test_epoch_counts_up_over_restarts(tmp_path: Path) -> None:
    store = Store(tmp_path / "controller.db")
    assert store.next_epoch() == 1
    store = reopened(store, tmp_path)
    assert store.next_epoch() == 2
    store.close()


def test_deployment_survives_as_it_was(tmp_path: Path) -> None:
    store = Store(tmp_path / "controller.db")
    kept = deployment(
        limits=StreamLimits(message_bytes_max=7, idle_timeout_s=1.5, compression=True),
        routes=("/ws",),
        scaling=ScalingSettings(max_replica=7, metric=Metric.REQUESTS, placement=PlacementStrategy.PACKED),
        overrides=ScalingOverrides(min_replica=2, paused=True),
        gpus=2,
        environment_variables={"OMP_NUM_THREADS": "1"},
    )
    store.put_deployment(kept)
    store.point_environment("echo", "production", kept.deployment_id, now_wall=WALL)
    store = reopened(store, tmp_path)
    assert store.deployments() == [kept]
    store.close()


def test_environment_points_to_one_deployment(tmp_path: Path) -> None:
    store = Store(tmp_path / "controller.db")
    for deployment_id in ("echo-1", "echo-2"):
        store.put_deployment(deployment(deployment_id))
        store.point_environment("echo", "production", deployment_id, now_wall=WALL)
    assert {d.deployment_id: d.environments for d in store.deployments()} == {"echo-1": (), "echo-2": ("production",)}
    store.close()


def test_retired_deployment_has_no_environment_and_comes_back_when_applied(tmp_path: Path) -> None:
    store = Store(tmp_path / "controller.db")
    store.put_deployment(deployment())
    store.point_environment("echo", "production", "echo-1", now_wall=WALL)
    store.retire_deployment("echo-1")
    assert [(d.retired, d.environments) for d in store.deployments()] == [(True, ())]
    store.put_deployment(deployment(replicas=4))
    assert [(d.retired, d.overrides.replicas) for d in store.deployments()] == [(False, 4)]
    store.close()


def test_places_survive_with_their_replica_and_counts(tmp_path: Path) -> None:
    store = Store(tmp_path / "controller.db")
    store.put_deployment(deployment())
    store.put_places("echo-1", [Place("echo-1", 0, "r1", Restarts(PlaceState.OCCUPIED, starts=3, failures=2))])
    store = reopened(store, tmp_path)
    (place,) = store.places()
    assert (place.replica_id, place.occupied, place.restarts.starts, place.restarts.failures) == ("r1", True, 3, 2)
    store.delete_deployment("echo-1")
    assert store.places() == []
    store.close()


def test_target_and_decisions_survive_the_newest_first(tmp_path: Path) -> None:
    store = Store(tmp_path / "controller.db")
    store.put_deployment(deployment())
    assert (store.targets(), store.decisions("echo-1")) == ({"echo-1": 0}, [])
    decisions = [ScaleDecision("all_busy", "why", WALL, 0, target, {"ready_replicas": 1.0}) for target in (1, 2)]
    for decision in decisions:
        store.add_decision("echo-1", decision)
    store = reopened(store, tmp_path)
    assert (store.targets(), store.decisions("echo-1")) == ({"echo-1": 2}, decisions[::-1])
    store.close()


def test_only_the_newest_decisions_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "DECISIONS_KEPT", 3)
    store = Store(tmp_path / "controller.db")
    for deployment_id in ("echo-1", "voice-1"):
        store.put_deployment(deployment(deployment_id))
    for target in range(5):
        store.add_decision("echo-1", ScaleDecision("all_busy", "why", WALL, target, target + 1))
    store.add_decision("voice-1", ScaleDecision("initial", "why", WALL, 0, 1))
    assert [decision.to_replicas for decision in store.decisions("echo-1")] == [5, 4, 3]
    assert len(store.decisions("voice-1")) == 1
    store.close()


def test_decision_on_a_deployment_that_is_gone_is_dropped(tmp_path: Path) -> None:
    store = Store(tmp_path / "controller.db")
    store.add_decision("echo-1", ScaleDecision("all_busy", "why", WALL, 0, 1))
    assert store.decisions("echo-1") == []
    store.close()


def test_failed_transaction_changes_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "controller.db")
    good_and_bad = (deployment(), deployment("echo-2", source=None))
    with pytest.raises(sqlite3.IntegrityError), store.transaction():
        list(map(store.put_deployment, good_and_bad))
    assert store.deployments() == []
    store.close()


def test_deployment_that_loses_its_last_environment_is_superseded_until_one_points_to_it_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "controller.db")
    for deployment_id in ("echo-1", "echo-2"):
        store.put_deployment(deployment(deployment_id))
    store.point_environment("echo", "production", "echo-1", now_wall=WALL)
    store.point_environment("echo", "staging", "echo-1", now_wall=WALL)
    assert store.point_environment("echo", "production", "echo-2", streams_end_wall=WALL + 9, now_wall=WALL) == "echo-1"
    assert [d.superseded for d in store.deployments()] == [False, False]

    assert store.point_environment("echo", "staging", "echo-2", streams_end_wall=WALL + 9, now_wall=WALL) == "echo-1"
    assert [(d.superseded, d.streams_end_wall) for d in store.deployments()] == [(True, WALL + 9), (False, None)]

    assert store.point_environment("echo", "production", "echo-1", now_wall=WALL) == "echo-2"
    assert [(d.superseded, d.streams_end_wall) for d in store.deployments()] == [(False, None), (False, None)]
    assert store.point_environment("echo", "production", "echo-1", now_wall=WALL) is None
    store.close()


def test_promotion_that_waits_survives_and_gives_way_to_a_newer_one(tmp_path: Path) -> None:
    store = Store(tmp_path / "controller.db")
    for deployment_id in ("echo-1", "echo-2"):
        store.put_deployment(deployment(deployment_id))
    store.put_promotion(Promotion("echo", "production", "echo-1", None, WALL))
    newer = Promotion("echo", "production", "echo-2", 60.0, WALL + 1)
    store.put_promotion(newer)
    store = reopened(store, tmp_path)
    assert store.promotions() == [newer]
    store.delete_deployment("echo-2")
    assert store.promotions() == []
    store.close()


def test_cordons_and_the_pause_of_all_survive(tmp_path: Path) -> None:
    store = Store(tmp_path / "controller.db")
    store.put_cordon("r1", True)
    store.put_cordon("r1", True)
    store.put_cordon("r2", True)
    store.put_cordon("r2", False)
    store.set_all_paused(True)
    store = reopened(store, tmp_path)
    assert (store.cordons(), store.all_paused) == ({"r1"}, True)
    store.set_all_paused(False)
    assert not store.all_paused
    store.close()


def test_stopped_deployments_stay_stopped(tmp_path: Path) -> None:
    store = Store(tmp_path / "controller.db")
    store.put_deployment(deployment())
    store.stop_deployments()
    assert [d.stopped for d in store.deployments()] == [True]
    store.close()


def test_database_is_private(tmp_path: Path) -> None:
    Store(tmp_path / "controller.db").close()
    assert (tmp_path / "controller.db").stat().st_mode & 0o077 == 0


def test_place_in_a_chain_is_kept(store: Store) -> None:
    place = ChainPlace("hello", "hello-1", "Rand", False, ("Low", "Up"))
    store.put_deployment(deployment("hello.Rand-1", chain=place))
    store.put_deployment(deployment("echo-1"))

    assert {d.deployment_id: d.chain for d in store.deployments()} == {"hello.Rand-1": place, "echo-1": None}


def test_an_environment_that_is_dropped_supersedes_who_has_no_other(store: Store) -> None:
    for environment in ("production", "staging"):
        store.put_deployment(deployment("echo-1"))
        store.point_environment("echo", environment, "echo-1", now_wall=1.0)
    (known,) = store.deployments()

    store.drop_environment(known, "staging", now_wall=2.0, streams_end_wall=9.0)
    (known,) = store.deployments()
    assert (known.environments, known.superseded) == (("production",), False)
    store.drop_environment(known, "production", now_wall=3.0, streams_end_wall=9.0)
    (known,) = store.deployments()
    assert (known.environments, known.superseded_wall, known.streams_end_wall) == ((), 3.0, 9.0)


def test_what_is_superseded_has_no_environment_and_all_the_time_it_wants(store: Store) -> None:
    store.put_deployment(deployment("echo-1"))
    store.point_environment("echo", "production", "echo-1", now_wall=1.0)

    store.supersede_deployment("echo-1", now_wall=4.0)

    (known,) = store.deployments()
    assert (known.environments, known.superseded_wall, known.streams_end_wall) == ((), 4.0, None)
