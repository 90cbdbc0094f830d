"""The `controller` command, a controller that it finds by itself, and one that keeps artifacts and logs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from penstock.api.control.v1 import admin_pb2_grpc
from penstock_controller.service import ControllerServer
from penstock_testing.controller_parts import FACTS, ControllerParts, controller_parts
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


Served = Callable[[], AbstractAsyncContextManager[tuple[ControllerParts, Any]]]


@pytest.fixture
def served_state(tmp_path: Path) -> Served:
    """A controller, whose state folder is `tmp_path`, with a client of its AdminService."""

    @asynccontextmanager
    async def serve() -> AsyncIterator[tuple[ControllerParts, Any]]:
        async with controller_parts(tmp_path) as parts:
            server = ControllerServer(f"unix:{tmp_path}/c.sock")
            facts = replace(FACTS, state_dir=str(tmp_path))
            server.add_services(parts.reconciler, facts, parts.clock, parts.clock.wall)
            await server.start()
            try:
                async with grpc.aio.insecure_channel(server.address) as channel:
                    yield parts, admin_pb2_grpc.AdminServiceStub(channel)
            finally:
                await server.stop(0.2)

    return serve
