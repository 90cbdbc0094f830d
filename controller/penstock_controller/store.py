"""What outlives the controller: SQLite in the state folder.

Calls are synchronous and short. In WAL mode with `synchronous = NORMAL` a commit is a write to the page cache, without
a flush; it survives the death of the process, which is what adoption needs. A loss of power ends the replicas too.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from penstock.placement import PlacementStrategy
from penstock_controller.fleet import Place
from penstock_controller.journal import Journal
from penstock_controller.records import (
    Build,
    BuildState,
    ChainPlace,
    Deployment,
    Promotion,
    ScaleDecision,
    StreamLimits,
)
from penstock_controller.restarts import PlaceState, Restarts
from penstock_controller.scaling.config import Metric, ScalingSettings
from penstock_controller.scaling.overrides import ScalingOverrides
from penstock_controller.schema import migrate

DECISIONS_KEPT = 50
"""Decisions that are kept per deployment; older ones are dropped."""


class Store:
    """The database of one state folder. One thread, one process."""

    def __init__(self, path: Path) -> None:
        """Opens or creates the database, and brings its schema up to date.

        Raises:
            StoreVersionError: A newer version wrote it.
            sqlite3.Error: It cannot be opened or is damaged.
        """
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
            self._db.execute(f"PRAGMA {pragma}")
        migrate(self._db, path)
        path.chmod(0o600)
        self.journal = Journal(self._db)

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All changes inside become visible together, or none does."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def next_epoch(self) -> int:
        """Counts the epoch up by one and returns it; the first is 1."""
        with self.transaction():
            row = self._db.execute("SELECT value FROM meta WHERE key = 'epoch'").fetchone()
            epoch = 1 if row is None else int(row["value"]) + 1
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('epoch', ?)", (str(epoch),))
        return epoch

    @property
    def all_paused(self) -> bool:
        """Scaling is paused for every deployment, those to come included."""
        return self._db.execute("SELECT 1 FROM meta WHERE key = 'paused'").fetchone() is not None

    def set_all_paused(self, paused: bool) -> None:
        if paused:
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('paused', '1')")
        else:
            self._db.execute("DELETE FROM meta WHERE key = 'paused'")

    # Deployments and environments.

    def deployments(self) -> list[Deployment]:
        """Returns all deployments, oldest first."""
        environments: dict[str, list[str]] = {}
        for row in self._db.execute("SELECT * FROM environments ORDER BY environment"):
            environments.setdefault(row["deployment_id"], []).append(row["environment"])
        return [
            Deployment(
                deployment_id=row["deployment_id"],
                name=row["name"],
                source=row["source"],
                scaling=_scaling(json.loads(row["scaling"])),
                overrides=ScalingOverrides(**json.loads(row["overrides"])),
                limits=StreamLimits(**json.loads(row["limits"])),
                routes=tuple(json.loads(row["routes"])),
                gpus=row["gpus"],
                environment_variables=json.loads(row["environment_variables"]),
                environments=tuple(environments.get(row["deployment_id"], ())),
                stopped=bool(row["stopped"]),
                retired=bool(row["retired"]),
                superseded_wall=row["superseded_wall"],
                streams_end_wall=row["streams_end_wall"],
                created_wall=row["created_wall"],
                artifact=row["artifact"],
                build=_build(json.loads(row["build"])),
                ready_wall=row["ready_wall"],
                chain=_chain(row["chain"]),
            )
            for row in self._db.execute("SELECT * FROM deployments ORDER BY created_wall, deployment_id")
        ]

    def put_deployment(self, deployment: Deployment) -> None:
        """Creates it, or changes what may change of it. Keeps environments and the time of its creation."""
        values = {
            "deployment_id": deployment.deployment_id,
            "name": deployment.name,
            "source": deployment.source,
            "scaling": json.dumps(asdict(deployment.scaling)),
            "overrides": json.dumps(asdict(deployment.overrides)),
            "limits": json.dumps(asdict(deployment.limits)),
            "routes": json.dumps(deployment.routes),
            "gpus": deployment.gpus,
            "environment_variables": json.dumps(dict(deployment.environment_variables)),
            "stopped": deployment.stopped,
            "retired": deployment.retired,
            "superseded_wall": deployment.superseded_wall,
            "streams_end_wall": deployment.streams_end_wall,
            "created_wall": deployment.created_wall,
            "artifact": deployment.artifact,
            "build": json.dumps(asdict(deployment.build)),
            "ready_wall": deployment.ready_wall,
            "chain": "" if deployment.chain is None else json.dumps(asdict(deployment.chain)),
        }
        kept = ("deployment_id", "name", "created_wall")
        changes = ", ".join(f"{key} = excluded.{key}" for key in values if key not in kept)
        self._db.execute(
            f"INSERT INTO deployments ({', '.join(values)}) VALUES ({', '.join(':' + key for key in values)})"
            f" ON CONFLICT (deployment_id) DO UPDATE SET {changes}",
            values,
        )

    def point_environment(
        self,
        name: str,
        environment: str,
        deployment_id: str,
        *,
        now_wall: float,
        streams_end_wall: float | None = None,
    ) -> str | None:
        """Points the environment at a deployment. Returns the one before, if it was another one.

        A deployment that loses its last environment is superseded, and its streams end at `streams_end_wall`.
        """
        row = self._db.execute(
            "SELECT deployment_id FROM environments WHERE name = ? AND environment = ?", (name, environment)
        ).fetchone()
        self._db.execute("INSERT OR REPLACE INTO environments VALUES (?, ?, ?)", (name, environment, deployment_id))
        self._db.execute(
            "UPDATE deployments SET superseded_wall = NULL, streams_end_wall = NULL WHERE deployment_id = ?",
            (deployment_id,),
        )
        before: str | None = None if row is None or row["deployment_id"] == deployment_id else row["deployment_id"]
        if before is not None:
            self._supersede(before, now_wall, streams_end_wall)
        return before

    def drop_environment(
        self, deployment: Deployment, environment: str, *, now_wall: float, streams_end_wall: float | None = None
    ) -> None:
        """The environment points to nothing of this name any more. See point_environment."""
        self._db.execute("DELETE FROM environments WHERE name = ? AND environment = ?", (deployment.name, environment))
        self._supersede(deployment.deployment_id, now_wall, streams_end_wall)

    def supersede_deployment(self, deployment_id: str, *, now_wall: float) -> None:
        """No environment points to it any more; its streams have the time they want."""
        self._db.execute("DELETE FROM environments WHERE deployment_id = ?", (deployment_id,))
        self._supersede(deployment_id, now_wall, None)

    def _supersede(self, deployment_id: str, now_wall: float, streams_end_wall: float | None) -> None:
        """Notes that the deployment has lost its last environment, if so it is."""
        self._db.execute(
            "UPDATE deployments SET superseded_wall = ?, streams_end_wall = ? WHERE deployment_id = ?"
            " AND NOT EXISTS (SELECT 1 FROM environments WHERE environments.deployment_id = ?)",
            (now_wall, streams_end_wall, deployment_id, deployment_id),
        )

    def retire_deployment(self, deployment_id: str) -> None:
        """No environment points to it any more, and its replicas are to end."""
        self._db.execute("DELETE FROM environments WHERE deployment_id = ?", (deployment_id,))
        self._db.execute("UPDATE deployments SET retired = 1 WHERE deployment_id = ?", (deployment_id,))

    def stop_deployments(self) -> None:
        self._db.execute("UPDATE deployments SET stopped = 1")

    def delete_deployment(self, deployment_id: str) -> None:
        self._db.execute("DELETE FROM deployments WHERE deployment_id = ?", (deployment_id,))

    def promotions(self) -> list[Promotion]:
        """Returns the promotions that wait for a ready replica, oldest first."""
        return [Promotion(**dict(row)) for row in self._db.execute("SELECT * FROM promotions ORDER BY requested_wall")]

    def put_promotion(self, promotion: Promotion) -> None:
        """Takes the place of one for the same environment."""
        self._db.execute(
            "INSERT OR REPLACE INTO promotions (name, environment, deployment_id, deadline_s, requested_wall)"
            " VALUES (:name, :environment, :deployment_id, :deadline_s, :requested_wall)",
            asdict(promotion),
        )

    def delete_promotion(self, name: str, environment: str) -> None:
        self._db.execute("DELETE FROM promotions WHERE name = ? AND environment = ?", (name, environment))

    # Decisions.

    def targets(self) -> dict[str, int]:
        """Returns the target of every deployment."""
        return {row["deployment_id"]: row["target"] for row in self._db.execute("SELECT * FROM deployments")}

    def put_target(self, deployment_id: str, target: int) -> None:
        self._db.execute("UPDATE deployments SET target = ? WHERE deployment_id = ?", (target, deployment_id))

    def decisions(self, deployment_id: str) -> list[ScaleDecision]:
        """Returns the decisions that are kept, the newest first."""
        rows = self._db.execute(
            "SELECT decision FROM decisions WHERE deployment_id = ? ORDER BY sequence DESC", (deployment_id,)
        )
        return [ScaleDecision(**json.loads(row["decision"])) for row in rows]

    def add_decision(self, deployment_id: str, decision: ScaleDecision) -> None:
        with self.transaction():
            self.put_target(deployment_id, decision.to_replicas)
            self._db.execute(
                "INSERT INTO decisions (deployment_id, decision) SELECT deployment_id, ? FROM deployments"
                " WHERE deployment_id = ?",
                (json.dumps(asdict(decision)), deployment_id),
            )
            self._db.execute(
                "DELETE FROM decisions WHERE deployment_id = ? AND sequence <= (SELECT sequence FROM decisions"
                " WHERE deployment_id = ? ORDER BY sequence DESC LIMIT 1 OFFSET ?)",
                (deployment_id, deployment_id, DECISIONS_KEPT),
            )

    # Places and cordons.

    def places(self) -> list[Place]:
        """Returns every place; whether its replica is still alive is for the caller to find out."""
        return [
            Place(
                row["deployment_id"],
                row["place"],
                row["replica_id"],
                Restarts(
                    state=PlaceState.OCCUPIED if row["occupied"] else PlaceState.EMPTY,
                    starts=row["starts"],
                    failures=row["failures"],
                ),
            )
            for row in self._db.execute("SELECT * FROM places ORDER BY deployment_id, place")
        ]

    def put_places(self, deployment_id: str, places: Iterable[Place]) -> None:
        """Replaces all places of a deployment."""
        with self.transaction():
            self._db.execute("DELETE FROM places WHERE deployment_id = ?", (deployment_id,))
            self._db.executemany("INSERT INTO places VALUES (?, ?, ?, ?, ?, ?)", map(_place_row, places))

    def put_place(self, place: Place) -> None:
        """Stores one place, whose index is up to date."""
        self._db.execute("INSERT OR REPLACE INTO places VALUES (?, ?, ?, ?, ?, ?)", _place_row(place))

    def cordons(self) -> set[str]:
        """Returns the replicas that operators have cordoned."""
        return {row["replica_id"] for row in self._db.execute("SELECT replica_id FROM cordons")}

    def put_cordon(self, replica_id: str, cordoned: bool) -> None:
        if cordoned:
            self._db.execute("INSERT OR IGNORE INTO cordons VALUES (?)", (replica_id,))
        else:
            self._db.execute("DELETE FROM cordons WHERE replica_id = ?", (replica_id,))


def _place_row(place: Place) -> tuple[object, ...]:
    restarts = place.restarts
    return place.deployment_id, place.index, place.replica_id, place.occupied, restarts.starts, restarts.failures


def _build(values: dict[str, str]) -> Build:
    state = BuildState(values.pop("state", BuildState.NONE))
    return Build(state, **values)


def _chain(text: str) -> ChainPlace | None:
    if not text:
        return None
    values = json.loads(text)
    return ChainPlace(**{**values, "dependencies": tuple(values["dependencies"])})


def _scaling(values: dict[str, object]) -> ScalingSettings:
    values["metric"] = Metric(str(values.get("metric", Metric.STREAMS)))
    values["placement"] = PlacementStrategy(str(values.get("placement", PlacementStrategy.SPREAD)))
    return ScalingSettings(**values)  # type: ignore[arg-type]  # written by put_deployment
