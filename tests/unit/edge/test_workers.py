from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from penstock_edge.config import parse_arguments
from penstock_edge.workers import HEALTHY_S, RESTART_S_MAX, _command, _hold, _keep, _Place, inner_listens
from penstock_testing.static_platform import wait_until

STATIC = ["--static", "echo=127.0.0.1:1"]
LIMIT_S = 30.0


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return dict(os.environ) | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}


def test_a_worker_gets_every_option_of_its_parent() -> None:
    arguments = [*STATIC, "--static", "b=h:2", "--workers", "3", "--drain-timeout", "5", "--log-level", "debug"]
    arguments += ["--ready-file", "r.json", "--lifeline-fd", "7", "--tls-cert", "c", "--tls-key", "k"]
    parent = parse_arguments(arguments)

    command = _command(parent, "127.0.0.1:81", "127.0.0.1:82")
    worker = parse_arguments(command[command.index("penstock_edge") + 1 :])

    assert worker.is_worker
    assert (worker.listen_host, worker.listen_port, worker.grpc_listen) == ("127.0.0.1", 81, "127.0.0.1:82")
    for name in ("static", "workers", "drain_timeout_s", "log_level", "log_format", "ready_file", "lifeline_fd"):
        assert getattr(worker, name) == getattr(parent, name), name
    assert (worker.tls_cert, worker.tls_key) == ("c", "k")


def test_a_worker_follows_the_controller_of_its_parent() -> None:
    command = _command(parse_arguments(["--controller", "unix:/c"]), "127.0.0.1:81", None)

    worker = parse_arguments(command[command.index("penstock_edge") + 1 :])

    assert worker.controller == "unix:/c"
    assert worker.grpc_listen is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("127.0.0.1:0", ["127.0.0.1:0", "127.0.0.1:0"]),
        ("[::1]:7000", ["[::1]:7000", "[::1]:7001"]),
        (None, ["off", "off"]),
    ],
)
def test_each_worker_has_a_port_of_its_own_for_runners(given: str | None, expected: list[str]) -> None:
    assert inner_listens(given, 2) == expected


def ended(place: _Place) -> None:
    assert place.process is not None
    place.process.wait(LIMIT_S)


def test_a_worker_that_ends_is_started_again_with_a_growing_pause(environment: dict[str, str]) -> None:
    place = _Place()
    command = [sys.executable, "-S", "-c", ""]
    now, pauses = 0.0, []
    _keep(place, command, environment, None, now, is_stopping=False)
    for _ in range(3):
        ended(place)
        _keep(place, command, environment, None, now, is_stopping=False)
        assert place.process is None
        pauses.append(place.due_at - now)
        _keep(place, command, environment, None, place.due_at - 0.01, is_stopping=False)
        assert place.process is None
        now = place.due_at
        _keep(place, command, environment, None, now, is_stopping=False)
        assert place.process is not None
    ended(place)
    assert pauses == [0.5, 1.0, 2.0]

    now += HEALTHY_S + 1
    _keep(place, command, environment, None, now, is_stopping=False)
    assert place.due_at - now == 0.5
    place.back_off_s = 1000.0
    place.started_at = now
    _keep(place, command, environment, None, now + 0.5, is_stopping=False)
    ended(place)
    _keep(place, command, environment, None, now + 1, is_stopping=False)
    assert place.back_off_s <= RESTART_S_MAX


def test_a_worker_that_ends_while_stopping_is_not_started_again(environment: dict[str, str]) -> None:
    place = _Place()
    command = [sys.executable, "-S", "-c", ""]
    _keep(place, command, environment, None, 0.0, is_stopping=False)
    ended(place)

    _keep(place, command, environment, None, 100.0, is_stopping=True)

    assert place.process is None


def test_what_a_dead_worker_held_open_is_counted_no_more(environment: dict[str, str], tmp_path: Path) -> None:
    program = (
        "from penstock_edge.metrics import EdgeMetrics\n"
        "EdgeMetrics().open_connections.labels('echo', 'echo-1', 'production').inc()\n"
    )
    place = _Place()
    _keep(place, [sys.executable, "-P", "-c", program], environment, None, 0.0, is_stopping=False)
    ended(place)
    assert list(tmp_path.glob("gauge_live*"))

    _keep(place, [], environment, None, 0.0, is_stopping=True)

    assert list(tmp_path.glob("gauge_live*")) == []


def test_a_free_port_is_held_for_all_workers() -> None:
    address, held = _hold("127.0.0.1:0")
    with held, socket.socket() as worker:
        worker.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        worker.bind(("127.0.0.1", int(address.rpartition(":")[2])))


def test_workers_share_an_address_and_end_together(tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    arguments = ["--listen", "127.0.0.1:0", "--workers", "2", *STATIC, "--ready-file", str(ready)]
    with (tmp_path / "log").open("wb") as log:
        parent = subprocess.Popen(
            [sys.executable, "-P", "-m", "penstock_edge", *arguments],
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_until(ready.exists, LIMIT_S, "a worker serves")
        serving = json.loads(ready.read_text())
        with urllib.request.urlopen(f"http://{serving['http']}/healthz", timeout=10) as answer:
            assert answer.status == 200
        assert serving["pid"] != parent.pid
        assert os.getpgid(serving["pid"]) != os.getpgid(parent.pid), "Ctrl-C reaches the parent only"
        log_text = (tmp_path / "log").read_text
        wait_until(lambda: log_text().count("edge_serving") == 2, LIMIT_S, "both workers serve")
        inner = {json.loads(line)["inner"] for line in log_text().splitlines() if "edge_serving" in line}
        assert len(inner) == 2

        os.killpg(parent.pid, signal.SIGINT)

        assert parent.wait(LIMIT_S) == 0
        assert log_text().count("edge_stopped") == 2, log_text()
        assert "stopped_at_once" not in log_text()
    finally:
        if parent.poll() is None:
            parent.kill()
            parent.wait()
