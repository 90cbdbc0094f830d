from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from penstock_controller.actuators.process_table import ProcessName, RunRecord, read_start_ticks, write_spawn_record
from penstock_controller.cli.offline import still_serving

ServeHealth = Callable[[bool], str]

ME = ProcessName(os.getpid(), read_start_ticks(os.getpid()) or 0)


@pytest.fixture
def serve_health() -> Iterator[ServeHealth]:
    """Serves the health service of a runner that admits streams or not, and returns its address."""
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(2))

        def serve(admits: bool) -> str:
            servicer = health.HealthServicer()
            states = health_pb2.HealthCheckResponse
            servicer.set("", states.SERVING if admits else states.NOT_SERVING)
            server = grpc.server(pool)
            health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
            port = server.add_insecure_port("127.0.0.1:0")
            server.start()
            stack.callback(lambda: server.stop(None).wait(10))
            return f"127.0.0.1:{port}"

        yield serve


def write_run_file(state_dir: Path, replica_id: str, address: str, **told: object) -> None:
    """Writes what a runner writes about itself."""
    (state_dir / "run").mkdir(exist_ok=True)
    content = {"replica_id": replica_id, "deployment_id": "d", "pid": ME.pid, "pid_start_ticks": ME.start_ticks}
    (state_dir / "run" / f"{replica_id}.json").write_text(json.dumps(content | {"address": address} | told))


def test_only_live_runners_are_told(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    write_spawn_record(tmp_path / "run", RunRecord("alive", "d", ME))
    write_spawn_record(tmp_path / "run", RunRecord("dead", "d", ProcessName(ME.pid, 1)))

    (runner,) = still_serving(tmp_path)

    assert (runner.replica_id, runner.pid, runner.address, runner.admits) == ("alive", ME.pid, "", None)


def test_each_runner_is_asked_whether_it_admits(tmp_path: Path, serve_health: ServeHealth) -> None:
    write_run_file(tmp_path, "a", serve_health(True))
    write_run_file(tmp_path, "b", serve_health(False))
    write_run_file(tmp_path, "c", f"unix:{tmp_path}/nobody.sock")

    assert [(r.replica_id, r.admits) for r in still_serving(tmp_path)] == [("a", True), ("b", False), ("c", None)]


@pytest.mark.parametrize(
    ("told", "streams"),
    [
        ({"active_streams": 3, "stream_capacity": 8}, (3, 8)),
        ({"active_streams": 0}, (0, None)),
        ({}, (None, None)),
        ({"active_streams": "3", "stream_capacity": -1}, (None, None)),
        ({"active_streams": True}, (None, None)),
    ],
)
def test_streams_are_those_that_the_runner_has_written(
    tmp_path: Path, told: dict[str, object], streams: tuple[int | None, int | None]
) -> None:
    write_run_file(tmp_path, "a", "", **told)

    (runner,) = still_serving(tmp_path)

    assert (runner.active_streams, runner.stream_capacity) == streams


def test_folder_that_is_not_there_has_no_runners(tmp_path: Path) -> None:
    assert still_serving(tmp_path / "none") == []
