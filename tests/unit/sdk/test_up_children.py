from __future__ import annotations

import asyncio
import errno
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from penstock.cli.up.children import Child, ChildError, controller_command, edge_command
from penstock.cli.up.host_port import HostPort
from penstock.lifeline import Lifeline
from penstock_testing.up_session import wait_until

WAIT_S = 20.0


@pytest.fixture
def lifeline() -> Iterator[Lifeline]:
    line = Lifeline()
    yield line
    line.close()


class Scene:
    """A child, and what it said."""

    def __init__(self, folder: Path, lifeline: Lifeline, code: str) -> None:
        self.notes: list[str] = []
        self.starts = folder / "starts"
        self.command = [sys.executable, "-c", code, str(self.starts)]
        self.child = Child(
            "helper",
            lambda: self.command,
            log_path=folder / "logs" / "helper.log",
            lifeline_fd=lifeline.read_fd,
            env=dict(os.environ),
            on_note=self.notes.append,
        )

    def run(self, act: Callable[[], Awaitable[None]]) -> None:
        async def main() -> None:
            try:
                async with asyncio.timeout(WAIT_S):
                    await act()
            finally:
                self.child.kill()
                await self.child.wait_ended(WAIT_S)

        asyncio.run(main())


SLEEPS = "import sys, threading; open(sys.argv[1], 'a').write('x'); threading.Event().wait()"
DIES = "import sys; open(sys.argv[1], 'a').write('x'); sys.stderr.write('out of luck\\n'); sys.exit(4)"


def test_commands_of_our_processes() -> None:
    assert controller_command(Path("/s"), 5)[1:] == [
        "-P",
        "-m",
        "penstock_controller",
        "serve",
        "--state-dir=/s",
        "--lifeline-fd=5",
    ]
    edge = edge_command(HostPort("127.0.0.1", 1), None, "unix:/s/c.sock", 2.5, 5)
    assert edge[1:] == [
        "-P",
        "-m",
        "penstock_edge",
        "--listen=127.0.0.1:1",
        "--grpc-listen=off",
        "--controller=unix:/s/c.sock",
        "--drain-timeout=2.5",
        "--lifeline-fd=5",
        "--log-format=json",
        "--insecure",
    ]


def test_child_has_a_session_of_its_own_and_can_be_asked_to_end(tmp_path: Path, lifeline: Lifeline) -> None:
    scene = Scene(tmp_path, lifeline, SLEEPS)

    async def act() -> None:
        assert scene.child.pid == 0
        await scene.child.start()
        assert scene.child.is_running
        assert os.getsid(scene.child.pid) == scene.child.pid
        scene.child.terminate()
        assert await scene.child.wait_ended(WAIT_S)
        assert not scene.child.is_running
        scene.child.terminate()
        scene.child.kill()

    scene.run(act)


def test_child_that_dies_before_it_was_healthy_is_an_error_with_its_output(tmp_path: Path, lifeline: Lifeline) -> None:
    scene = Scene(tmp_path, lifeline, DIES)

    async def act() -> None:
        await scene.child.start()
        with pytest.raises(ChildError) as error_info:
            await scene.child.keep_running()
        log = tmp_path / "logs" / "helper.log"
        assert str(error_info.value) == f"the helper ended with status 4:\n  out of luck\n  Its log: {log}"

    scene.run(act)
    assert scene.starts.read_text() == "x"
    assert scene.notes == []


def test_healthy_child_is_started_again_until_it_dies_too_often(
    tmp_path: Path, lifeline: Lifeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.cli.up.restart_policy.DELAY_MAX_S", 0.01)
    monkeypatch.setattr("penstock.cli.up.restart_policy.DELAY_FIRST_S", 0.01)
    scene = Scene(tmp_path, lifeline, DIES)

    async def act() -> None:
        await scene.child.start()
        scene.child.mark_healthy()
        with pytest.raises(ChildError, match="ended with status 4, 5 times in all; it is not started again"):
            await scene.child.keep_running()

    scene.run(act)
    assert scene.starts.read_text() == "x" * 5
    assert scene.notes == ["the helper ended with status 4; it starts again in 0.0 s"] * 4


def test_killed_child_is_said_to_be_killed(tmp_path: Path, lifeline: Lifeline) -> None:
    scene = Scene(tmp_path, lifeline, SLEEPS)

    async def act() -> None:
        await scene.child.start()
        os.kill(scene.child.pid, signal.SIGKILL)
        with pytest.raises(ChildError, match="was killed by signal 9"):
            await scene.child.keep_running()

    scene.run(act)


def test_log_that_is_too_big_is_put_aside_and_the_end_is_told_all_the_same(
    tmp_path: Path, lifeline: Lifeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.log_files.rotate.__defaults__", (1000,))
    code = (
        "import os, sys; os.write(2, b'early\\n' * 500); open(sys.argv[1], 'a').write('x'); "
        "sys.stdin.read(); sys.stderr.write('out of luck\\n'); sys.exit(4)"
    )
    scene = Scene(tmp_path, lifeline, code)
    read_end, write_end = os.pipe()
    monkeypatch.setattr("penstock.cli.up.children.asyncio.subprocess.DEVNULL", read_end)
    log = tmp_path / "logs" / "helper.log"
    log.parent.mkdir()
    log.write_text("of an earlier process\n" * 1000)

    async def act() -> None:
        await scene.child.start()
        os.close(read_end)
        wait_until(scene.starts.exists, "the start")
        await scene.child.bound_log()
        await scene.child.bound_log()
        assert log.read_text() == ""
        assert log.with_name("helper.log.1").read_text().endswith("early\n")
        os.close(write_end)
        with pytest.raises(ChildError, match="ended with status 4:\n  out of luck\n"):
            await scene.child.keep_running()

    scene.run(act)
    assert not log.with_name("helper.log.2").exists()
    assert scene.notes == []


def test_log_that_cannot_be_put_aside_is_told_once(
    tmp_path: Path, lifeline: Lifeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: Path) -> bool:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("penstock.cli.up.children.rotate", full)
    scene = Scene(tmp_path, lifeline, SLEEPS)

    async def act() -> None:
        await scene.child.bound_log()
        await scene.child.bound_log()

    scene.run(act)
    log = tmp_path / "logs" / "helper.log"
    assert scene.notes == [f"the log of the helper cannot be put aside, and grows: No space left on device: {log}"]


def test_program_that_does_not_exist_is_an_error(tmp_path: Path, lifeline: Lifeline) -> None:
    scene = Scene(tmp_path, lifeline, "")
    scene.command = [str(tmp_path / "nothing")]

    async def act() -> None:
        with pytest.raises(ChildError, match="cannot be started"):
            await scene.child.start()
        assert await scene.child.wait_ended(0)

    scene.run(act)


def test_wait_is_bounded(tmp_path: Path, lifeline: Lifeline) -> None:
    scene = Scene(tmp_path, lifeline, SLEEPS)

    async def act() -> None:
        await scene.child.start()
        assert not await scene.child.wait_ended(0.01)

    scene.run(act)
