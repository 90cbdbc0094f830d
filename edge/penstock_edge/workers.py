"""Runs several edge processes on one address: SO_REUSEPORT spreads the connections, each has trunks of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from types import FrameType

import structlog
from prometheus_client.multiprocess import mark_process_dead

from penstock.lifeline import watch_lifeline
from penstock_edge.config import EdgeConfig, parse_address

log = structlog.get_logger("edge")

RESTART_S_MIN = 0.5
RESTART_S_MAX = 30.0
HEALTHY_S = 60.0
"""A worker that lived this long starts again with the shortest back-off."""


class _Place:
    """One worker and its restarts."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0
        self.due_at = 0.0
        self.back_off_s = RESTART_S_MIN
        self.signals_told = 0


def run_workers(config: EdgeConfig, listener: socket.socket) -> int:
    """Starts the workers, keeps them alive, and ends them. Returns the exit status.

    Args:
        listener: bound to the address and not listening: it keeps the port while no worker does.
    """
    host, port = listener.getsockname()[:2]
    held: list[socket.socket] = [listener]
    grpc_listen = config.grpc_listen
    if grpc_listen is not None:
        grpc_listen, held_grpc = _hold(grpc_listen)
        held.append(held_grpc)
    inner_addresses = inner_listens(config.inner_listen, config.workers)
    places = [_Place() for _ in range(config.workers)]
    signals = 0

    def on_signal(number: int, frame: FrameType | None) -> None:
        nonlocal signals
        signals += 1

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    if config.lifeline_fd is not None:
        watch_lifeline(config.lifeline_fd)
    with tempfile.TemporaryDirectory(prefix="penstock-metrics-") as metrics:
        environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": metrics}
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        command = _command(config, address, grpc_listen)
        while True:
            now = time.monotonic()
            for place, inner in zip(places, inner_addresses, strict=True):
                _keep(
                    place,
                    [*command, "--inner-listen", inner],
                    environment,
                    config.lifeline_fd,
                    now,
                    is_stopping=signals > 0,
                )
                # Here and not in the handler of the signal: that one could come while a worker is being started.
                while place.process is not None and place.signals_told < signals:
                    place.process.send_signal(signal.SIGTERM)
                    place.signals_told += 1
            if signals and all(place.process is None for place in places):
                return 0
            time.sleep(0.1)


def _keep(
    place: _Place,
    command: list[str],
    environment: dict[str, str],
    lifeline_fd: int | None,
    now: float,
    *,
    is_stopping: bool,
) -> None:
    """Starts the worker of a place when it is due, and notes its end."""
    if place.process is not None and (status := place.process.poll()) is not None:
        log.warning("worker_ended", pid=place.process.pid, status=status)
        # Else what it held open would be counted for ever.
        mark_process_dead(place.process.pid, environment["PROMETHEUS_MULTIPROC_DIR"])  # type: ignore[no-untyped-call]
        place.process = None
        place.back_off_s = RESTART_S_MIN if now - place.started_at > HEALTHY_S else place.back_off_s
        place.due_at = now + place.back_off_s
        place.back_off_s = min(RESTART_S_MAX, place.back_off_s * 2)
    if place.process is None and not is_stopping and now >= place.due_at:
        # In a group of its own: Ctrl-C on a terminal reaches this process only, and a worker gets one signal, not two.
        place.process = subprocess.Popen(
            command, env=environment, pass_fds=(lifeline_fd,) if lifeline_fd is not None else (), process_group=0
        )
        place.started_at = now


def _hold(grpc_listen: str) -> tuple[str, socket.socket]:
    """Binds the gRPC address without listening, so that all workers find the same free port."""
    host, port = parse_address(grpc_listen)
    held = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    held.bind((host, port))
    chosen = held.getsockname()[1]
    return (f"[{host}]:{chosen}" if ":" in host else f"{host}:{chosen}"), held


def inner_listens(inner_listen: str | None, workers: int) -> list[str]:
    """Returns the `--inner-listen` of each worker: a port of its own, because callers choose between them."""
    if inner_listen is None:
        return ["off"] * workers
    host, _, port = inner_listen.rpartition(":")
    return [f"{host}:{int(port) + index if int(port) else 0}" for index in range(workers)]


def _command(config: EdgeConfig, address: str, grpc_listen: str | None) -> list[str]:
    command = [sys.executable, "-P", "-m", "penstock_edge", "--worker", "--listen", address]
    command += ["--workers", str(config.workers), "--drain-timeout", str(config.drain_timeout_s)]
    command += ["--log-format", config.log_format, "--log-level", config.log_level]
    if grpc_listen is not None:
        command += ["--grpc-listen", grpc_listen]
    if config.controller is not None:
        command += ["--controller", config.controller]
    for name, runner in config.static:
        command += ["--static", f"{name}={runner}"]
    if config.ready_file is not None:
        command += ["--ready-file", config.ready_file]
    if config.lifeline_fd is not None:
        command += ["--lifeline-fd", str(config.lifeline_fd)]
    if config.tls_cert is not None and config.tls_key is not None:
        command += ["--tls-cert", config.tls_cert, "--tls-key", config.tls_key]
    command.append("--insecure")  # the parent has checked the addresses
    return command
