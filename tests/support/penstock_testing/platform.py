"""The whole platform as its users start it: `penstock up`, on a free port, in a state folder that is thrown away."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from penstock.api.control.v1 import admin_pb2, admin_pb2_grpc
from penstock_controller.cli.render.documents import status_document, to_json
from penstock_testing.source_tree import ROOT
from penstock_testing.static_platform import wait_until

START_SECONDS = 90.0
"""How long `penstock up` may take until every replica is ready."""

STOP_SECONDS = 30.0
"""How long it may take to drain and end after one Ctrl-C."""

COMMAND_SECONDS = 30.0
"""How long a command of `controller` may take, and an answer of it."""


class PlatformError(Exception):
    """The platform did not start or did not stop as it should; the text has the end of its output."""


@dataclass(slots=True)
class Platform:
    """A running platform. `edge` is "ws://host:port", `http` "http://host:port", `grpc` "host:port"."""

    process: subprocess.Popen[bytes]
    ready: dict[str, Any]
    state_dir: Path
    log: Path
    _seen: dict[int, str] = field(default_factory=dict)
    """Every process of this platform that was ever seen: pid -> start time, which tells it from a later namesake."""

    @property
    def edge(self) -> str:
        return str(self.ready["edge"]["url"])

    @property
    def http(self) -> str:
        return str(self.ready["edge"]["http"])

    @property
    def grpc(self) -> str:
        return str(self.ready["edge"]["grpc"])

    @property
    def controller(self) -> str:
        """Address of the controller: "host:port" or "unix:/path"."""
        return str(self.ready["controller"]["address"])

    def websocket(self, name: str) -> str:
        """URL of a model's WebSocket."""
        return next(str(d["websocket"]) for d in self.ready["deployments"] if d["name"] == name)

    def status(self) -> dict[str, Any]:
        """What `controller status -o json` says. Raises PlatformError when it cannot tell.

        Asked for in this process: tests look again and again, and each start of a command takes half a second.
        """
        try:
            with grpc.insecure_channel(self.controller) as channel:
                stub = admin_pb2_grpc.AdminServiceStub(channel)
                answer = stub.GetStatus(admin_pb2.GetStatusRequest(), timeout=COMMAND_SECONDS)
        except grpc.RpcError as exc:
            raise PlatformError(f"the controller does not tell its status: {exc}") from exc
        status: dict[str, Any] = json.loads(to_json(status_document(answer)))
        for pid in [replica["pid"] for replica in status["replicas"]]:
            self._remember(pid)
        return status

    def command(self, *arguments: str) -> str:
        """What `controller ARGUMENTS…` prints. Raises PlatformError when it fails."""
        command = [sys.executable, "-P", "-m", "penstock_controller", *arguments, "--address", self.controller]
        asked = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
        if asked.returncode:
            told = f"{asked.stderr}{asked.stdout}"
            raise PlatformError(f"controller {arguments[0]} ended with {asked.returncode}: {told}")
        return asked.stdout

    def pids(self, kind: str) -> list[int]:
        """Living processes of one kind: "up", "controller", "edge" or "runner".

        A runner that a restarted controller has adopted is found by what the controller says, the others by their
        parents.
        """
        if kind == "up":
            return [self.process.pid] if self.process.poll() is None else []
        mark = f"penstock_{kind}"
        found = {pid for pid, command in process_tree(self.process.pid).items() if mark in command}
        if kind == "runner":
            with contextlib.suppress(PlatformError):
                found |= {replica["pid"] for replica in self.status()["replicas"] if replica["pid"]}
        for pid in found:
            self._remember(pid)
        return sorted(pid for pid in found if _start_time(pid))

    def active_streams(self, name: str | None = None) -> int:
        """Slots that are held, of one model or of all."""
        deployments = self.status()["deployments"]
        return sum(d["streams"]["active"] for d in deployments if name in {None, d["name"]})

    def output(self) -> str:
        """What `penstock up` has printed so far, and the logs of the models."""
        logs = [self.log, *sorted((self.state_dir / "logs").glob("*"))]
        return "".join(f"--- {log.name}\n{log.read_text(errors='replace')}" for log in logs if log.is_file())

    def stop(self) -> int:
        """Ends it as Ctrl-C does, and returns the exit status of `penstock up`. May be called twice.

        Raises:
            PlatformError: It did not end in time, or a process of it is left. What is left has been killed.
        """
        self._remember_all()
        problem = None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                problem = f"`penstock up` did not end within {STOP_SECONDS:g} s of SIGINT"
                self.process.kill()
                self.process.wait()
        left = [pid for pid, started in self._seen.items() if pid != self.process.pid and _start_time(pid) == started]
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if left and problem is None:
            problem = f"`penstock up` has ended, and left {len(left)} of its processes behind"
        if problem:
            raise PlatformError(f"{problem}\n{self.output()[-6000:]}")
        return self.process.returncode

    def _remember(self, pid: int) -> None:
        if pid and (started := _start_time(pid)):
            self._seen[pid] = started

    def _remember_all(self) -> None:
        for pid in process_tree(self.process.pid):
            self._remember(pid)
        for run_file in (self.state_dir / "run").glob("*.json"):
            with contextlib.suppress(OSError, ValueError, KeyError):
                self._remember(json.loads(run_file.read_text())["pid"])


@contextmanager
def running_platform(
    paths: Sequence[Path | str], *, replicas: int | None = 1, extra: Sequence[str] = ()
) -> Iterator[Platform]:
    """Runs `penstock up PATHS…` until the block ends; `extra` are further options of it.

    Without `replicas` the models are scaled by load.

    Paths are relative to the repository, or absolute.

    Raises:
        PlatformError: It did not become ready, or did not end cleanly.
    """
    with tempfile.TemporaryDirectory(prefix="penstock-test-") as folder:
        platform = _start(Path(folder), [str(ROOT / path) for path in paths], replicas, extra)
        try:
            yield platform
        except BaseException:
            # The test's own failure is the one to show.
            with contextlib.suppress(PlatformError):
                platform.stop()
            raise
        platform.stop()


def _start(folder: Path, paths: list[str], replicas: int | None, extra: Sequence[str]) -> Platform:
    ready_file, state_dir, log = folder / "ready.json", folder / "state", folder / "up.log"
    command = [sys.executable, "-P", "-m", "penstock.cli", "up", *paths, "--listen", "127.0.0.1:0"]
    command += ["--grpc-listen", "127.0.0.1:0", *([] if replicas is None else ["--replicas", str(replicas)])]
    command += ["--state-dir", str(state_dir), "--ready-file", str(ready_file), *extra]
    # A developer's own settings, such as a default controller, are no part of a test.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    platform = Platform(process, {}, state_dir, log)
    try:
        wait_until(lambda: ready_file.exists() or process.poll() is not None, START_SECONDS, "`penstock up` is ready")
        if not ready_file.exists():
            raise PlatformError(f"`penstock up` ended with {process.returncode}")
        platform.ready = json.loads(ready_file.read_text())
    except (AssertionError, PlatformError) as error:
        text = f"{error}\n{platform.output()[-6000:]}"
        with contextlib.suppress(PlatformError):
            platform.stop()
        raise PlatformError(text) from None
    return platform


def process_tree(root: int) -> dict[int, str]:
    """`root` and every living process below it: pid -> command line."""
    parents = {pid: parent for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if (parent := _parent(pid))}
    tree = {}
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        with contextlib.suppress(OSError):
            tree[pid] = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            waiting.extend(child for child, parent in parents.items() if parent == pid)
    return tree


def is_alive(pid: int) -> bool:
    """Whether the process runs. A zombie does not: where nobody reaps orphans, as in a container, it stays listed."""
    return bool(_stat(pid))


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; empty when the process is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
    return [] if fields[0] in "ZX" else fields


def _parent(pid: int) -> int:
    fields = _stat(pid)
    return int(fields[1]) if fields else 0


def _start_time(pid: int) -> str:
    """In clock ticks since the machine started; "" when the process is gone."""
    fields = _stat(pid)
    return fields[19] if fields else ""
