from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from penstock.cli.up.admin import Admin, AdminError
from penstock.cli.up.children import Child
from penstock.cli.up.observation import Deployment, Observation, Phase, Replica
from penstock.cli.up.progress import PlainView
from penstock.cli.up.shutdown import Shutdown
from penstock.lifeline import Lifeline
from penstock_testing.up_session import wait_until

SLEEPS = "import threading; threading.Event().wait()"
IGNORES = (
    "import signal, sys, threading; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "print(flush=True); threading.Event().wait()"
)


class FakeAdmin:
    def __init__(self, error: str | None = None) -> None:
        self.error = error
        self.active_streams = 1
        self.calls: list[str] = []

    async def observe(self) -> Observation:
        self.calls.append("observe")
        return Observation(1, 1, deployments=(Deployment("echo", "echo-1", active_streams=self.active_streams),))

    async def stop_replicas(self, grace_s: float) -> int:
        self.calls.append("stop_replicas")
        if self.error is not None:
            raise AdminError(self.error)
        return 1


class Scene:
    def __init__(self, folder: Path, drain_timeout_s: float = 30.0) -> None:
        self.folder = folder
        self.out = io.StringIO()
        self.lifeline = Lifeline()
        self.controller = self._child("controller")
        self.edge = self._child("edge")
        view = PlainView(self.out, self.out)
        self.shutdown = Shutdown(self.controller, self.edge, self.lifeline, view, drain_timeout_s)
        self.edge_code = SLEEPS

    def _child(self, name: str) -> Child:
        return Child(
            name,
            lambda: [sys.executable, "-c", self.edge_code if name == "edge" else SLEEPS],
            log_path=self.folder / f"{name}.log",
            lifeline_fd=self.lifeline.read_fd,
            env=dict(os.environ),
            on_note=lambda _: None,
        )

    def run(self, admin: FakeAdmin | None, *, force: bool = False, start: bool = True) -> bool:
        async def main() -> bool:
            if start:
                await self.controller.start()
                await self.edge.start()
                if self.edge_code is IGNORES:
                    wait_until(lambda: self.edge.log_path.stat().st_size, "the edge ignores SIGTERM")
            event = asyncio.Event()
            if force:
                event.set()
            return await self.shutdown.run(cast(Admin | None, admin), event)

        return asyncio.run(main())


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    scene.lifeline.close()


def test_edge_ends_before_the_replicas_are_stopped(scene: Scene) -> None:
    admin = FakeAdmin()
    assert scene.run(admin)
    assert not scene.edge.is_running
    assert not scene.controller.is_running
    assert admin.calls == ["observe", "stop_replicas"]
    assert (
        scene.out.getvalue() == "stopping\nstopping the replicas\n1 handler was still running and had to be cancelled\n"
    )


def test_force_cuts_it_short(scene: Scene) -> None:
    assert not scene.run(FakeAdmin(), force=True)
    assert not scene.edge.is_running
    assert not scene.controller.is_running


def test_controller_that_refuses_does_not_stop_the_end(scene: Scene) -> None:
    assert scene.run(FakeAdmin(error="no time"))
    assert "no time\n" in scene.out.getvalue()
    assert not scene.controller.is_running


def test_nothing_is_said_when_nothing_ran(scene: Scene) -> None:
    assert scene.run(None, start=False)
    assert scene.out.getvalue() == ""


@pytest.mark.parametrize(
    ("count", "note"),
    [
        (1, "1 stream was still open after 0.3 s and is closed with 1012\n"),
        (2, "2 streams were still open after 0.3 s and are closed with 1012\n"),
        (0, ""),
    ],
)
def test_streams_that_the_edge_closes_are_told_once(
    count: int, note: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.cli.up.shutdown.CHILD_END_S", 0.3)
    monkeypatch.setattr("penstock.cli.up.shutdown.DRAIN_POLL_S", 0.05)
    scene = Scene(tmp_path, drain_timeout_s=0.3)
    scene.edge_code = IGNORES
    admin = FakeAdmin()
    admin.active_streams = count
    scene.run(admin)
    assert "".join(line for line in scene.out.getvalue().splitlines(True) if "1012" in line) == note
    scene.lifeline.close()


def test_edge_that_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.cli.up.shutdown.CHILD_END_S", 0.3)
    monkeypatch.setattr("penstock.cli.up.shutdown.DRAIN_POLL_S", 0.05)
    scene = Scene(tmp_path, drain_timeout_s=0.3)
    scene.edge_code = IGNORES
    admin = FakeAdmin()
    assert scene.run(admin)
    assert not scene.edge.is_running
    scene.lifeline.close()


def test_remembered_runners_are_killed_with_their_groups(scene: Scene) -> None:
    with subprocess.Popen([sys.executable, "-c", SLEEPS], start_new_session=True) as runner:
        seen = Observation(1, 1, replicas=(Replica("echo-1-x", "echo-1", Phase.READY, pid=runner.pid),))
        scene.shutdown.remember(seen)
        # A controller that has just restarted does not know it yet; it is not forgotten for that.
        scene.shutdown.remember(Observation(2, 1))
        assert scene.run(FakeAdmin())
        assert runner.wait(10) == -9


def test_end_may_be_asked_for_twice(scene: Scene) -> None:
    async def main() -> None:
        await scene.controller.start()
        await scene.shutdown.end_everything()
        await scene.shutdown.end_everything()

    asyncio.run(main())
    assert not scene.controller.is_running
