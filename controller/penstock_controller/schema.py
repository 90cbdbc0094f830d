"""The tables of the controller's database, and how older ones become these."""

from __future__ import annotations

import sqlite3
from pathlib import Path

SCHEMA_VERSION = 4
"""Stands in `PRAGMA user_version`. A change of the schema adds a step to _MIGRATIONS and counts this up."""

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
    # Scaling by load: settings of config.yaml and changes by operators take the place of one number; promotion.
    1: """
        ALTER TABLE deployments ADD COLUMN scaling TEXT NOT NULL DEFAULT '{}';
        ALTER TABLE deployments ADD COLUMN overrides TEXT NOT NULL DEFAULT '{}';
        ALTER TABLE deployments ADD COLUMN gpus INTEGER NOT NULL DEFAULT 0;
        ALTER TABLE deployments ADD COLUMN environment_variables TEXT NOT NULL DEFAULT '{}';
        ALTER TABLE deployments ADD COLUMN superseded_wall REAL;
        ALTER TABLE deployments ADD COLUMN streams_end_wall REAL;
        UPDATE deployments SET overrides = json_object('replicas', replicas);
        ALTER TABLE deployments DROP COLUMN replicas;
        ALTER TABLE deployments DROP COLUMN decision;
        CREATE TABLE promotions (
            name TEXT NOT NULL,
            environment TEXT NOT NULL,
            deployment_id TEXT NOT NULL REFERENCES deployments (deployment_id) ON DELETE CASCADE,
            deadline_s REAL,
            requested_wall REAL NOT NULL,
            PRIMARY KEY (name, environment)
        ) STRICT;
        CREATE TABLE cordons (replica_id TEXT PRIMARY KEY) STRICT;
        CREATE TABLE decisions (
            sequence INTEGER PRIMARY KEY AUTOINCREMENT,
            deployment_id TEXT NOT NULL REFERENCES deployments (deployment_id) ON DELETE CASCADE,
            decision TEXT NOT NULL
        ) STRICT;
        CREATE INDEX decisions_of_deployment ON decisions (deployment_id, sequence);
    """,
    # Artifacts and builds.
    2: """
        ALTER TABLE deployments ADD COLUMN artifact TEXT NOT NULL DEFAULT '';
        ALTER TABLE deployments ADD COLUMN build TEXT NOT NULL DEFAULT '{}';
        ALTER TABLE deployments ADD COLUMN ready_wall REAL;
    """,
    # Chains: the place of a deployment in one, as JSON.
    3: "ALTER TABLE deployments ADD COLUMN chain TEXT NOT NULL DEFAULT '';",
}


class StoreVersionError(Exception):
    """The state folder was written by a newer version of the software."""


def migrate(db: sqlite3.Connection, path: Path) -> None:
    """Brings the schema up to date.

    Raises:
        StoreVersionError: A newer version wrote it.
    """
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version > SCHEMA_VERSION:
        raise StoreVersionError(
            f"{path} has schema {version}, and this version knows {SCHEMA_VERSION}: use the newer version,"
            " or another folder with --state-dir"
        )
    for step in range(version, SCHEMA_VERSION):
        # One script is one transaction: a crash leaves the version that stood before.
        db.executescript(f"BEGIN; {_MIGRATIONS[step]} PRAGMA user_version = {step + 1}; COMMIT;")
