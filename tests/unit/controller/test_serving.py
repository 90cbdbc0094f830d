"""Refusals to start. The life of a controller that starts is in tests/integration/controller."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from penstock.state_dir import StateDirInUseError, lock_state_dir, prepare_state_dir
from penstock_controller.serving import DATABASE_FILE, ServeError, ServeOptions, serve


def test_address_that_others_can_reach_needs_insecure(tmp_path: Path) -> None:
    with pytest.raises(ServeError, match="--insecure"):
        serve(ServeOptions(tmp_path / "state", listen="0.0.0.0:0"))


def test_address_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ServeError, match="host:port or unix:/path"):
        serve(ServeOptions(tmp_path / "state", listen="8000"))


def test_lifeline_that_is_no_pipe_is_refused(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "file", os.O_CREAT)
    try:
        with pytest.raises(ServeError, match="--lifeline-fd"):
            serve(ServeOptions(tmp_path / "state", lifeline_fd=fd))
    finally:
        os.close(fd)


def test_folder_of_another_controller_is_refused(tmp_path: Path) -> None:
    lock = lock_state_dir(prepare_state_dir(tmp_path / "state"))
    try:
        with pytest.raises(StateDirInUseError, match="--state-dir"):
            serve(ServeOptions(tmp_path / "state"))
    finally:
        os.close(lock)


def test_damaged_database_is_refused(tmp_path: Path) -> None:
    folder = prepare_state_dir(tmp_path / "state")
    (folder / DATABASE_FILE).write_bytes(b"not a database" * 100)

    with pytest.raises(ServeError, match="restore or remove"):
        serve(ServeOptions(folder))


def test_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    folder = prepare_state_dir(tmp_path / "state")
    database = sqlite3.connect(folder / DATABASE_FILE)
    database.execute("PRAGMA user_version = 99")
    database.close()

    with pytest.raises(ServeError, match="newer version"):
        serve(ServeOptions(folder))
