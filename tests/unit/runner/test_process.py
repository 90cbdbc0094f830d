"""The order in which a runner process does things. tests/integration/runner has it with a real server."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.types import ASGIApp

from penstock.truss import PenstockSettings
from penstock_runner.model.loaded import LoadedModel
from penstock_runner.options import Options, parse_options
from penstock_runner.process import RunnerProcess
from penstock_testing.fake_controller import FakeController


class FakeServer:
    """Notes what it is told, and asks the process to stop once the model is set."""

    active_streams = 0
    capacity = 4
    streams_total = 0
    rejected_total = 0
    oldest_stream_at_s = None

    def __init__(self, settings: PenstockSettings, on_change: Callable[[], None]) -> None:
        self.settings = settings
        self.draining = False
        self.said: list[str] = []
        self._on_change = on_change

    async def start(self, listen: str) -> str:
        self.said.append("start")
        if listen.endswith(":1"):
            raise OSError("in use")
        return "127.0.0.1:4242"

    def set_model(self, model: LoadedModel, app: ASGIApp | None = None) -> None:
        self.said.append("set_model")
        self._on_change()
        os.kill(os.getpid(), signal.SIGTERM)

    def set_capacity(self, slots: int) -> None: ...

    def set_healthy(self, is_healthy: bool) -> None: ...

    def begin_drain(self, *, if_idle: bool) -> bool:
        self.said.append("begin_drain")
        self.draining = True
        return True

    def end_drain(self) -> None: ...

    def plan_ends(self, grace_s: float, spread_s: float) -> None: ...

    def drop_plan(self) -> None: ...

    async def announce_ready(self, is_ready: bool) -> None: ...

    async def stop(self, grace: float) -> int:
        self.said.append(f"stop {grace:g}")
        return 0


@pytest.fixture(autouse=True)
def untouched_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    path, modules = list(sys.path), set(sys.modules)
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def options(folder: Path, *extra: str) -> Options:
    return parse_options(["--model-dir", str(folder), "--replica-id", "r", "--deployment-id", "d", *extra])


def truss(folder: Path, model: str, config: str = "") -> Path:
    (folder / "model").mkdir()
    (folder / "model" / "model.py").write_text(model)
    (folder / "config.yaml").write_text(config)
    return folder


def run(wanted: Options) -> tuple[int, FakeServer | None]:
    servers: list[FakeServer] = []

    def make(_replica: str, _deployment: str, settings: PenstockSettings, on_change: Callable[[], None]) -> FakeServer:
        servers.append(FakeServer(settings, on_change))
        return servers[-1]

    async def main() -> int:
        return await RunnerProcess(wanted, make).run()

    status = asyncio.run(main())
    return status, servers[-1] if servers else None


MODEL = "class Model:\n    async def websocket(self, websocket): pass\n"


def test_model_is_set_after_the_server_listens_and_drained_before_it_stops(tmp_path: Path) -> None:
    wanted = options(truss(tmp_path, MODEL, "penstock: {autoscaling: {max_concurrency: 3}}\n"), "--drain-timeout", "9")

    status, server = run(wanted)

    assert status == 0
    assert server is not None
    assert server.said == ["start", "set_model", "begin_drain", "stop 9"]
    assert server.settings.max_concurrency == 3


def test_model_that_fails_ends_with_status_1_and_never_admits(tmp_path: Path) -> None:
    status, server = run(options(truss(tmp_path, "1 / 0\n")))

    assert status == 1
    assert server is not None
    assert "set_model" not in server.said


def test_server_that_cannot_listen_ends_with_status_1(tmp_path: Path) -> None:
    status, _ = run(options(truss(tmp_path, MODEL), "--listen", "127.0.0.1:1"))

    assert status == 1


def test_bad_config_is_told_before_there_is_a_server(tmp_path: Path) -> None:
    with FakeController() as controller:
        status, server = run(options(tmp_path, "--controller", controller.address))

        assert (status, server) == (1, None)
        assert controller.states() == ["FAILED"]
        assert "config.yaml: not found in" in controller.statuses()[-1].message


def test_run_file_that_cannot_be_written_ends_with_status_1(tmp_path: Path) -> None:
    status, _ = run(options(truss(tmp_path, MODEL), "--run-file", str(tmp_path / "no" / "such" / "run.json")))

    assert status == 1


def test_process_ends_although_a_thread_of_the_model_never_does() -> None:
    program = (
        "import sys, threading, penstock_runner.process as process\n"
        "process.EXIT_S = 0.2\n"
        "threading.Thread(target=threading.Event().wait).start()\n"
        "process.end_process(3, at_once=False)\n"
        "sys.exit(3)\n"
    )

    done = subprocess.run([sys.executable, "-P", "-c", program], timeout=60, check=False)

    assert done.returncode == 3


def test_no_thread_is_left_behind(tmp_path: Path) -> None:
    before = set(threading.enumerate())

    run(options(truss(tmp_path, MODEL)))

    for thread in set(threading.enumerate()) - before:
        thread.join(10)
    assert {"model-load", "control"}.isdisjoint(thread.name for thread in set(threading.enumerate()) - before)
