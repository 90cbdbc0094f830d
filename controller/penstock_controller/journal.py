"""Events for operators: kept in the database, and told to whoever watches."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from penstock_controller.bell import Bell
from penstock_controller.records import Event

EVENTS_MAX = 10_000
"""Events that are kept; older ones are dropped."""


class Journal:
    """The events of one database. One thread."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self.written = Bell()
        """Rings after each new event."""
        row = db.execute("SELECT max(sequence) AS newest FROM events").fetchone()
        self.newest: int = row["newest"] or 0
        """Sequence of the newest event; 0 before the first."""

    def add(self, event: Event) -> None:
        cursor = self._db.execute(
            "INSERT INTO events (at_wall, kind, deployment_id, replica_id, text) VALUES (?, ?, ?, ?, ?)",
            (event.at_wall, event.kind, event.deployment_id, event.replica_id, event.text),
        )
        self.newest = cursor.lastrowid or 0
        self._db.execute("DELETE FROM events WHERE sequence <= ?", (self.newest - EVENTS_MAX,))
        self.written.ring()

    def after(self, sequence: int, *, limit: int = 1000, deployment_id: str | None = None) -> list[Event]:
        """Returns the first events with a sequence above `sequence`, oldest first."""
        return self._read("ASC", sequence, limit, deployment_id)

    def newest_events(self, sequence: int, *, limit: int = 1000, deployment_id: str | None = None) -> list[Event]:
        """Returns the last events with a sequence above `sequence`, oldest first."""
        return self._read("DESC", sequence, limit, deployment_id)[::-1]

    def _read(self, order: str, sequence: int, limit: int, deployment_id: str | None) -> list[Event]:
        condition, values = "sequence > ?", [sequence]
        parameters: Sequence[object] = values
        if deployment_id is not None:
            condition += " AND deployment_id = ?"
            parameters = [*values, deployment_id]
        rows = self._db.execute(
            f"SELECT * FROM events WHERE {condition} ORDER BY sequence {order} LIMIT ?", (*parameters, limit)
        )
        return [
            Event(r["at_wall"], r["kind"], r["text"], r["deployment_id"], r["replica_id"], r["sequence"]) for r in rows
        ]
