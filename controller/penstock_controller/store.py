"""What outlives the controller: SQLite in the state folder.

Calls are synchronous and short. In WAL mode with `synchronous = NORMAL` a commit is a write to the page cache, without
a flush; it survives the death of the process, which is what adoption needs. A loss of power ends the replicas too.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from penstock_controller.fleet import Place
from penstock_controller.records import Deployment, ScaleDecision, StreamLimits
from penstock_controller.restarts import PlaceState, Restarts

SCHEMA_VERSION = 1
"""Stands in `PRAGMA user_version`. A change of the schema adds a step to _MIGRATIONS and counts this up."""

EVENTS_MAX = 10_000
"""Events that are kept; older ones are dropped."""

_MIGRATIONS = {
    0: """
        CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
        CREATE TABLE deployments (
            deployment_id TEXT PRIMARY KEY,
            name TEXT NOT NULL,
            source TEXT NOT NULL,
            replicas INTEGER NOT NULL CHECK (replicas >= 0),
            limits TEXT NOT NULL,
            routes TEXT NOT NULL,
            stopped INTEGER NOT NULL,
            retired INTEGER NOT NULL,
            created_wall REAL NOT NULL,
            target INTEGER NOT NULL DEFAULT 0,
            decision TEXT
        ) STRICT;
        CREATE TABLE environments (
            name TEXT NOT NULL,
            environment TEXT NOT NULL,
            deployment_id TEXT NOT NULL REFERENCES deployments (deployment_id) ON DELETE CASCADE,
            PRIMARY KEY (name, environment)
        ) STRICT;
        CREATE TABLE places (
            deployment_id TEXT NOT NULL REFERENCES deployments (deployment_id) ON DELETE CASCADE,
            place INTEGER NOT NULL,
            replica_id TEXT,
            occupied INTEGER NOT NULL,
            starts INTEGER NOT NULL,
            failures INTEGER NOT NULL,
            PRIMARY KEY (deployment_id, place)
        ) STRICT;
        CREATE TABLE events (
            sequence INTEGER PRIMARY KEY AUTOINCREMENT,
            at_wall REAL NOT NULL,
            kind TEXT NOT NULL,
            deployment_id TEXT,
            replica_id TEXT,
            text TEXT NOT NULL
        ) STRICT;
    """,
}


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, for operators."""

    at_wall: float
    kind: str
    """Stable name, for example "replica_exited"."""
    text: str
    deployment_id: str | None = None
    replica_id: str | None = None
    sequence: int = 0


class StoreVersionError(Exception):
    """The state folder was written by a newer version of the software."""


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
        self._migrate(path)
        path.chmod(0o600)

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
                replicas=row["replicas"],
                limits=StreamLimits(**json.loads(row["limits"])),
                routes=tuple(json.loads(row["routes"])),
                environments=tuple(environments.get(row["deployment_id"], ())),
                stopped=bool(row["stopped"]),
                retired=bool(row["retired"]),
                created_wall=row["created_wall"],
            )
            for row in self._db.execute("SELECT * FROM deployments ORDER BY created_wall, deployment_id")
        ]

    def put_deployment(self, deployment: Deployment) -> None:
        """Creates it, or changes how many replicas are wanted of it and how it is treated. Keeps environments."""
        values = (
            deployment.deployment_id,
            deployment.name,
            deployment.source,
            deployment.replicas,
            json.dumps(asdict(deployment.limits)),
            json.dumps(deployment.routes),
            deployment.stopped,
            deployment.retired,
            deployment.created_wall,
        )
        self._db.execute(
            "INSERT INTO deployments"
            " (deployment_id, name, source, replicas, limits, routes, stopped, retired, created_wall)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (deployment_id) DO UPDATE SET source = excluded.source,"
            " replicas = excluded.replicas, limits = excluded.limits, routes = excluded.routes,"
            " stopped = excluded.stopped, retired = excluded.retired",
            values,
        )

    def point_environment(self, name: str, environment: str, deployment_id: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO environments VALUES (?, ?, ?)", (name, environment, deployment_id))

    def retire_deployment(self, deployment_id: str) -> None:
        """No environment points to it any more, and its replicas are to end."""
        self._db.execute("DELETE FROM environments WHERE deployment_id = ?", (deployment_id,))
        self._db.execute("UPDATE deployments SET retired = 1 WHERE deployment_id = ?", (deployment_id,))

    def stop_deployments(self) -> None:
        self._db.execute("UPDATE deployments SET stopped = 1")

    def delete_deployment(self, deployment_id: str) -> None:
        self._db.execute("DELETE FROM deployments WHERE deployment_id = ?", (deployment_id,))

    def decisions(self) -> dict[str, tuple[int, ScaleDecision | None]]:
        """Returns target and last decision of every deployment."""
        return {
            row["deployment_id"]: (
                row["target"],
                ScaleDecision(**json.loads(row["decision"])) if row["decision"] else None,
            )
            for row in self._db.execute("SELECT deployment_id, target, decision FROM deployments")
        }

    def put_decision(self, deployment_id: str, decision: ScaleDecision) -> None:
        self._db.execute(
            "UPDATE deployments SET target = ?, decision = ? WHERE deployment_id = ?",
            (decision.to_replicas, json.dumps(asdict(decision)), deployment_id),
        )

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
            self._db.executemany(
                "INSERT INTO places VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (p.deployment_id, p.index, p.replica_id, p.occupied, p.restarts.starts, p.restarts.failures)
                    for p in places
                ],
            )

    def add_event(self, event: Event) -> None:
        cursor = self._db.execute(
            "INSERT INTO events (at_wall, kind, deployment_id, replica_id, text) VALUES (?, ?, ?, ?, ?)",
            (event.at_wall, event.kind, event.deployment_id, event.replica_id, event.text),
        )
        self._db.execute("DELETE FROM events WHERE sequence <= ?", ((cursor.lastrowid or 0) - EVENTS_MAX,))

    def events(self, *, after: int = 0, limit: int = 1000) -> list[Event]:
        """Returns events with a sequence above `after`, oldest first."""
        rows = self._db.execute("SELECT * FROM events WHERE sequence > ? ORDER BY sequence LIMIT ?", (after, limit))
        return [
            Event(r["at_wall"], r["kind"], r["text"], r["deployment_id"], r["replica_id"], r["sequence"]) for r in rows
        ]

    def _migrate(self, path: Path) -> None:
        version = int(self._db.execute("PRAGMA user_version").fetchone()[0])
        if version > SCHEMA_VERSION:
            raise StoreVersionError(
                f"{path} has schema {version}, and this version knows {SCHEMA_VERSION}: use the newer version,"
                " or another folder with --state-dir"
            )
        for step in range(version, SCHEMA_VERSION):
            # One script is one transaction: a crash leaves the version that stood before.
            self._db.executescript(f"BEGIN; {_MIGRATIONS[step]} PRAGMA user_version = {step + 1}; COMMIT;")
