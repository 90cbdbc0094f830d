"""The `controller` command, and a controller that it finds by itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from penstock_testing.fake_admin import FakeAdmin, served

if TYPE_CHECKING:
    from penstock_testing.controller_command import ControllerCommand


@pytest.fixture
def fake_admin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeAdmin]:
    admin = FakeAdmin()
    monkeypatch.setenv("PENSTOCK_STATE_DIR", str(tmp_path / "state"))
    with served(admin) as address:
        monkeypatch.setenv("PENSTOCK_CONTROLLER", address)
        yield admin


@pytest.fixture
def controller(capsys: pytest.CaptureFixture[str]) -> ControllerCommand:
    # Here, so that the tests of all other modules run while a command cannot be imported.
    from penstock_testing.controller_command import ControllerCommand

    return ControllerCommand(capsys)
