from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from penstock_controller.cli.verbs import serve
from penstock_testing.controller_command import ControllerCommand


@pytest.fixture(autouse=True)
def no_logging(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logging is set up for a whole process, and this one goes on to run other tests."""
    monkeypatch.setattr(serve, "configure_logs", lambda *_: None)


def test_an_address_that_others_can_reach_needs_insecure(controller: ControllerCommand, tmp_path: Path) -> None:
    done = controller("serve", "--state-dir", str(tmp_path / "state"), "--listen", "0.0.0.0:0")

    assert done.status == 1
    assert done.err.startswith("controller: ")
    assert "--insecure" in done.err


def test_a_state_folder_in_use_is_named(controller: ControllerCommand, tmp_path: Path) -> None:
    with (tmp_path / "controller.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        done = controller("serve", "--state-dir", str(tmp_path))

    assert done.status == 1
    assert f"{tmp_path} is in use by another controller" in done.err
