from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from penstock_controller import schema
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


def test_every_version_has_its_step() -> None:
    assert sorted(schema._MIGRATIONS) == list(range(SCHEMA_VERSION))
