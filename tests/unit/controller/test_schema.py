from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from penstock_controller import schema
from penstock_controller.records import Build, BuildState
from penstock_controller.scaling.overrides import ScalingOverrides
from penstock_controller.schema import SCHEMA_VERSION, StoreVersionError
from penstock_controller.store import Store


def test_database_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "controller.db") as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(StoreVersionError, match="--state-dir"):
        Store(tmp_path / "controller.db")


def test_database_of_the_first_version_keeps_its_deployments_and_their_number_of_replicas(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "controller.db") as database:
        database.executescript(schema._MIGRATIONS[0])
        database.execute(
            "INSERT INTO deployments VALUES ('echo-1', 'echo', '/m', 3, '{}', '[\"/ws\"]', 0, 0, 5.0, 3, NULL)"
        )
        database.execute("INSERT INTO environments VALUES ('echo', 'production', 'echo-1')")
        database.execute("INSERT INTO places VALUES ('echo-1', 0, 'r1', 1, 1, 0)")
        database.execute("PRAGMA user_version = 1")
    database.close()

    store = Store(tmp_path / "controller.db")

    (kept,) = store.deployments()
    assert (kept.name, kept.routes, kept.environments) == ("echo", ("/ws",), ("production",))
    assert kept.overrides == ScalingOverrides(replicas=3)
    assert store.targets() == {"echo-1": 3}
    assert [place.replica_id for place in store.places()] == ["r1"]
    store.close()


def test_a_database_from_before_artifacts_keeps_its_deployments(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "controller.db") as database:
        for step in (0, 1):
            database.executescript(schema._MIGRATIONS[step])
        database.execute(
            "INSERT INTO deployments (deployment_id, name, source, limits, routes, stopped, retired, created_wall)"
            " VALUES ('echo-1', 'echo', '/m', '{\"idle_timeout_s\": 5.0}', '[]', 0, 0, 5.0)"
        )
        database.execute("PRAGMA user_version = 2")
    database.close()

    store = Store(tmp_path / "controller.db")

    (kept,) = store.deployments()
    assert (kept.deployment_id, kept.artifact, kept.build, kept.ready_wall) == ("echo-1", "", Build(), None)
    assert (kept.limits.idle_timeout_s, kept.limits.predict_timeout_s) == (5.0, None)
    changed = replace(kept, artifact="ab", build=Build(BuildState.DONE, "m", "/p"), ready_wall=6.0)
    store.put_deployment(changed)
    assert store.deployments() == [changed]
    store.close()


def test_every_version_has_its_step() -> None:
    assert sorted(schema._MIGRATIONS) == list(range(SCHEMA_VERSION))


def test_a_database_from_before_chains_keeps_its_deployments(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "controller.db") as database:
        for step in (0, 1, 2):
            database.executescript(schema._MIGRATIONS[step])
        database.execute(
            "INSERT INTO deployments (deployment_id, name, source, limits, routes, stopped, retired, created_wall)"
            " VALUES ('echo-1', 'echo', '/m', '{}', '[]', 0, 0, 5.0)"
        )
        database.execute("PRAGMA user_version = 3")
    database.close()

    store = Store(tmp_path / "controller.db")

    (kept,) = store.deployments()
    assert (kept.deployment_id, kept.chain, kept.version_id, kept.is_inner) == ("echo-1", None, "echo-1", False)
    store.close()
