from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from penstock_controller import store as store_module
from penstock_controller.fleet import Place
from penstock_controller.records import ScaleDecision, StreamLimits
from penstock_controller.restarts import PlaceState, Restarts
from penstock_controller.store import Event, Store, StoreVersionError
from penstock_testing.controller_parts import WALL, deployment


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
    kept = deployment(limits=StreamLimits(message_bytes_max=7, idle_timeout_s=1.5, compression=True), routes=("/ws",))
    store.put_deployment(kept)
    store.point_environment("echo", "production", kept.deployment_id)
    store = reopened(store, tmp_path)
    assert store.deployments() == [kept]
    store.close()


def test_environment_points_to_one_deployment(tmp_path: Path) -> None:
    store = Store(tmp_path / "controller.db")
    for deployment_id in ("echo-1", "echo-2"):
        store.put_deployment(deployment(deployment_id))
        store.point_environment("echo", "production", deployment_id)
    assert {d.deployment_id: d.environments for d in store.deployments()} == {"echo-1": (), "echo-2": ("production",)}
    store.close()


def test_retired_deployment_has_no_environment_and_comes_back_when_applied(tmp_path: Path) -> None:
    store = Store(tmp_path / "controller.db")
    store.put_deployment(deployment())
    store.point_environment("echo", "production", "echo-1")
    store.retire_deployment("echo-1")
    assert [(d.retired, d.environments) for d in store.deployments()] == [(True, ())]
    store.put_deployment(deployment(replicas=4))
    assert [(d.retired, d.replicas) for d in store.deployments()] == [(False, 4)]
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


def test_decision_survives(tmp_path: Path) -> None:
    store = Store(tmp_path / "controller.db")
    store.put_deployment(deployment())
    assert store.decisions() == {"echo-1": (0, None)}
    decision = ScaleDecision("fixed", "why", WALL, 0, 2)
    store.put_decision("echo-1", decision)
    store = reopened(store, tmp_path)
    assert store.decisions() == {"echo-1": (2, decision)}
    store.close()


def test_failed_transaction_changes_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "controller.db")
    good_and_bad = (deployment(), deployment("echo-2", replicas=-1))
    with pytest.raises(sqlite3.IntegrityError), store.transaction():
        list(map(store.put_deployment, good_and_bad))
    assert store.deployments() == []
    store.close()


def test_only_the_newest_events_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "EVENTS_MAX", 3)
    store = Store(tmp_path / "controller.db")
    for number in range(5):
        store.add_event(Event(WALL, "tested", str(number), "echo-1", "r1"))
    assert [event.text for event in store.events()] == ["2", "3", "4"]
    assert [event.text for event in store.events(after=4)] == ["4"]
    store.close()


def test_stopped_deployments_stay_stopped(tmp_path: Path) -> None:
    store = Store(tmp_path / "controller.db")
    store.put_deployment(deployment())
    store.stop_deployments()
    assert [d.stopped for d in store.deployments()] == [True]
    store.close()


def test_database_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "controller.db") as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(StoreVersionError, match="--state-dir"):
        Store(tmp_path / "controller.db")


def test_database_is_private(tmp_path: Path) -> None:
    Store(tmp_path / "controller.db").close()
    assert (tmp_path / "controller.db").stat().st_mode & 0o077 == 0
