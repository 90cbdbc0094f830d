from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from penstock.lifeline import Lifeline
from penstock_controller.actuators.build_processes import LocalBuilds
from penstock_controller.actuators.builds import BuildEnd, BuildSpec
from penstock_controller.actuators.process_table import read_start_ticks

SCRIPT = """
import json, pathlib, signal, subprocess, sys, time
arguments = dict(zip(sys.argv[1::2], sys.argv[2::2]))
work = pathlib.Path(arguments["--model-dir"])
print("begins", flush=True)
if (work / "stubborn").exists():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if (work / "child").exists():
    (work / "child").write_text(str(subprocess.Popen(["sleep", "1000"]).pid))
(work / "began").touch()
while (work / "wait").exists():
    time.sleep(0.02)
result = (work / "result").read_text()
pathlib.Path(arguments["--result"]).write_text(result)
sys.exit("error" in result)
"""


class Scene:
    """A state folder, a Truss directory, and what the builds have told."""

    def __init__(self, tmp_path: Path) -> None:
        self.state = tmp_path / "state"
        self.state.mkdir()
        self.truss = tmp_path / "truss"
        self.truss.mkdir()
        self.tell('{"python": "/env/python", "problems": ["p"]}')
        self.script = tmp_path / "build.py"
        self.script.write_text(SCRIPT)
        self.ends: list[BuildEnd] = []

    def tell(self, result: str) -> None:
        (self.truss / "result").write_text(result)

    async def builds(self, *, build_s_max: float = 60.0, lifeline_fd: int | None = None) -> LocalBuilds:
        made = LocalBuilds(
            self.state,
            time.monotonic,
            command=(sys.executable, str(self.script)),
            build_s_max=build_s_max,
            lifeline_fd=lifeline_fd,
        )
        await made.open(self.ends.append)
        return made

    def start(self, builds: LocalBuilds) -> None:
        builds.start(BuildSpec("echo-1", str(self.truss)))

    async def until(self, condition: Callable[[], object]) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(20):
            while not condition():
                tick = asyncio.Event()
                loop.call_later(0.01, tick.set)
                await tick.wait()

    async def began(self) -> None:
        await self.until((self.truss / "began").exists)

    async def ended(self) -> BuildEnd:
        await self.until(lambda: self.ends)
        return self.ends.pop()


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await scenario()

    asyncio.run(main())


def test_a_build_runs_with_its_output_in_a_file_and_tells_its_result(scene: Scene) -> None:
    async def scenario() -> None:
        builds = await scene.builds()
        scene.start(builds)
        scene.start(builds)
        assert list(builds.running()) == ["echo-1"]
        assert await scene.ended() == BuildEnd("echo-1", python="/env/python", problems=("p",))
        assert list(builds.running()) == []
        assert (scene.state / "logs" / "build-echo-1.log").read_text() == "begins\n"
        assert [path.name for path in (scene.state / "builds").iterdir()] == ["echo-1.result.json"]
        builds.forget("echo-1", None)
        assert list((scene.state / "builds").iterdir()) == list((scene.state / "logs").iterdir()) == []
        await builds.close()

    run(scenario)


def test_a_failed_build_tells_why(scene: Scene) -> None:
    async def scenario() -> None:
        builds = await scene.builds()
        scene.tell('{"error": "no such package"}')
        scene.start(builds)
        assert await scene.ended() == BuildEnd("echo-1", error="no such package")
        # The result of the one before must not pass for that of the next.
        (scene.truss / "result").unlink()
        scene.start(builds)
        assert "status 1; the end of its output" in (await scene.ended()).error
        await builds.close()

    run(scenario)


def test_a_build_that_cannot_be_started_has_failed(scene: Scene) -> None:
    async def scenario() -> None:
        builds = await scene.builds()
        builds.start(BuildSpec("echo-1", str(scene.truss / "gone")))
        assert "cannot be started" in (await scene.ended()).error
        await builds.close()

    run(scenario)


@pytest.mark.parametrize("is_over", [False, True])
def test_a_build_outlives_its_controller_and_is_adopted(scene: Scene, is_over: bool) -> None:
    async def scenario() -> None:
        (scene.truss / "wait").touch()
        first = await scene.builds()
        scene.start(first)
        await scene.began()
        await first.close()
        if is_over:
            (scene.truss / "wait").unlink()
            await scene.until((scene.state / "builds" / "echo-1.result.json").exists)
        second = await scene.builds()
        (scene.truss / "wait").unlink(missing_ok=True)
        assert (await scene.ended()).python == "/env/python"
        assert scene.ends == []
        await second.close()

    run(scenario)


def test_a_build_that_died_with_its_controller_is_to_begin_anew(scene: Scene) -> None:
    async def scenario() -> None:
        (scene.state / "builds").mkdir()
        (scene.state / "builds" / "echo-1.process.json").write_text('{"pid": 4194304, "pid_start_ticks": 1}')
        (scene.state / "builds" / "echo-2.process.json").write_text("damaged")
        builds = await scene.builds()
        assert scene.ends == [BuildEnd("echo-1", was_cut=True), BuildEnd("echo-2", was_cut=True)]
        assert list((scene.state / "builds").iterdir()) == []
        await builds.close()

    run(scenario)


def test_what_a_build_leaves_behind_is_ended(scene: Scene) -> None:
    async def scenario() -> None:
        (scene.truss / "child").touch()
        builds = await scene.builds()
        scene.start(builds)
        await scene.ended()
        child = int((scene.truss / "child").read_text())
        await scene.until(lambda: read_start_ticks(child) is None)
        await builds.close()

    run(scenario)


@pytest.mark.parametrize("stubborn", [False, True])
def test_a_build_is_ended_with_all_that_it_has_started(
    scene: Scene, stubborn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock_controller.actuators.build_processes.STOP_GRACE_S", 0.2)

    async def scenario() -> None:
        for name in ("wait", "child", *(["stubborn"] if stubborn else [])):
            (scene.truss / name).touch()
        builds = await scene.builds()
        scene.start(builds)
        await scene.began()
        child = int((scene.truss / "child").read_text())
        builds.stop("echo-1")
        builds.stop("gone")
        assert await scene.ended() == BuildEnd("echo-1", was_cut=True)
        await scene.until(lambda: read_start_ticks(child) is None)
        await builds.close()

    run(scenario)


def test_a_build_that_takes_too_long_has_failed(scene: Scene) -> None:
    async def scenario() -> None:
        (scene.truss / "wait").touch()
        builds = await scene.builds(build_s_max=0.3)
        scene.start(builds)
        assert "took longer than 0.3 s" in (await scene.ended()).error
        await builds.close()

    run(scenario)


def test_the_lifeline_is_handed_on(scene: Scene) -> None:
    async def scenario() -> None:
        lifeline = Lifeline()
        builds = await scene.builds(lifeline_fd=lifeline.read_fd)
        scene.script.write_text(f"import os, sys; os.fstat(int(sys.argv[2])); sys.exit(sys.argv[1])\n{SCRIPT}")
        scene.start(builds)
        assert "--lifeline-fd" in (await scene.ended()).error
        lifeline.close()
        await builds.close()

    run(scenario)


def test_the_output_of_a_build_is_bounded(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock_controller.actuators.build_processes.LOG_CHECK_S", 0.0)
    monkeypatch.setattr("penstock.log_files.FILE_BYTES_MAX", 10)
    rotated = scene.state / "logs" / "build-echo-1.log.1"

    async def scenario() -> None:
        (scene.truss / "wait").touch()
        builds = await scene.builds()
        scene.start(builds)
        await scene.began()
        os.truncate(scene.state / "logs" / "build-echo-1.log", 11 * 1024 * 1024)
        await scene.until(rotated.exists)
        (scene.truss / "wait").unlink()
        await scene.ended()
        await builds.close()

    run(scenario)
