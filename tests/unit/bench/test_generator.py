"""The load generator against its own echo server."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock_bench.generator import compile_generator, measure
from penstock_bench.samples import LoadError
from penstock_bench.scenarios import Group, Scenario
from penstock_bench.targets import Endpoint

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")


@pytest.fixture(scope="module")
def ws_load(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_generator(tmp_path_factory.mktemp("build"))


@pytest.fixture
def echo(ws_load: Path) -> Iterator[tuple[Endpoint, int]]:
    with subprocess.Popen([ws_load, "serve", "-port", "0"], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield Endpoint(json.loads(server.stdout.readline())["port"], "/"), server.pid
        finally:
            server.kill()


def scenario(*groups: Group, **options: object) -> Scenario:
    return Scenario("test", "", groups, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536, 300_000])
def test_every_length_of_header_is_sent_and_read(ws_load: Path, echo: tuple[Endpoint, int], size: int) -> None:
    endpoint, pid = echo

    sample = measure(ws_load, scenario(Group("all", 3, size, 2)), endpoint, [("echo", pid)], seconds=0.1, warm_s=0.05)

    assert sample.per_s and sample.per_s > 10
    assert sample.cpu_us["echo"] > 0


def test_a_paced_group_keeps_its_rate_beside_a_flood(ws_load: Path, echo: tuple[Endpoint, int]) -> None:
    groups = Group("light", 10, 640, rate=20), Group("heavy", 1, 65536, 4)

    sample = measure(ws_load, scenario(*groups), echo[0], [], seconds=0.5, warm_s=0.1)

    assert sample.per_s == pytest.approx(200, rel=0.2)
    assert sample.company_per_s and sample.company_per_s > 100


def test_a_churn_ends_after_its_cycles(ws_load: Path, echo: tuple[Endpoint, int]) -> None:
    command = [str(ws_load), "churn", "-port", str(echo[0].port), "-group", "all:c=8,s=100", "-n", "50", "-abort", "1"]

    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert json.loads(done.stdout)["cycles"] == 50


def test_idle_connections_are_held_and_counted(ws_load: Path, echo: tuple[Endpoint, int]) -> None:
    endpoint, pid = echo
    command = [
        str(ws_load),
        "idle",
        "-port",
        str(endpoint.port),
        "-group",
        "all:c=20",
        "-d",
        "0.05",
        "-pids",
        f"echo:{pid}",
    ]

    said = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    before, held = said["processes"][0]["fds"]
    assert said["conns"] == held - before == 20


def test_a_refused_upgrade_is_reported_with_the_answer(ws_load: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")

        thread = threading.Thread(target=refuse)
        thread.start()
        with pytest.raises(LoadError, match="503 Service Unavailable"):
            measure(
                ws_load,
                scenario(Group("all", 1, 10)),
                Endpoint(listener.getsockname()[1], "/"),
                [],
                seconds=0.1,
                warm_s=0,
            )
        thread.join()


def test_a_wrong_option_is_a_usage_error(ws_load: Path) -> None:
    done = subprocess.run([ws_load, "load", "-group", "all:z=1"], capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "usage:" in done.stderr
