"""The pairs of processes that are compared. Each measures itself: its caller makes the calls, and tells what it saw."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import urllib.error
import urllib.parse
import urllib.request
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from penstock_bench.hop.rows import Row
from penstock_bench.processes import Child, StartError, answers, process_tree
from penstock_bench.samples import CONTROL, LoadError
from penstock_bench.targets import SERVERS, START_S

CHAIN = Path(__file__).resolve().parents[2] / "models" / "chain_hop" / "hop.py"


FEW = 8
"""Connections at which httpx is fastest here."""


class HopTarget(ABC):
    """`start` raises StartError; `stop` may be called at any time."""

    name: str

    @abstractmethod
    def start(self) -> None: ...

    @abstractmethod
    def processes(self) -> list[tuple[str, int]]:
        """(name, pid) of what is measured."""

    @abstractmethod
    def stop(self) -> None: ...

    @abstractmethod
    def measure(self, row: Row, seconds: float, warm_s: float) -> dict[str, float]:
        """Returns calls per second and latencies. Raises LoadError."""


class Httpx(HopTarget):
    """FastAPI that calls FastAPI with httpx."""

    name = "httpx"

    def __init__(self, folder: Path, name: str = "httpx") -> None:
        self.name = name
        self._folder = folder / name
        self._folder.mkdir(parents=True)
        self._children: list[Child] = []
        self._port = 0

    def start(self) -> None:
        callee = self._serve("callee")
        self._port = self._serve("caller", "--callee", f"http://127.0.0.1:{callee}")

    def _serve(self, role: str, *options: str) -> int:
        port_file = self._folder / role
        command = [sys.executable, str(SERVERS / "hop_server.py"), "--port-file", str(port_file), *options]
        child = Child(command, self._folder / f"{role}.log")
        self._children.append(child)
        child.wait_ready(lambda: port_file.exists() and bool(port_file.read_text()), role, START_S)
        port = int(port_file.read_text())
        child.wait_ready(lambda: answers(f"http://127.0.0.1:{port}/healthz"), role, START_S)
        return port

    def processes(self) -> list[tuple[str, int]]:
        return [(name, child.pid) for name, child in zip(("callee", "caller"), self._children, strict=True)]

    def stop(self) -> None:
        children, self._children = self._children, []
        for child in children:
            child.stop()

    def measure(self, row: Row, seconds: float, warm_s: float) -> dict[str, float]:
        kind = "raw" if self.name == "httpx-raw" else row.kind
        connections = FEW if self.name == "httpx-8" else row.in_flight
        query = {"kind": kind, "in_flight": row.in_flight, "seconds": seconds, "warm_s": warm_s}
        query["connections"] = connections
        return _post(f"http://127.0.0.1:{self._port}/measure?{urllib.parse.urlencode(query)}", {}, seconds + warm_s)


class Chain(HopTarget):
    """`penstock up` of the chain."""

    name = "penstock"

    def __init__(self, folder: Path) -> None:
        self._folder = folder / self.name
        self._folder.mkdir(parents=True)
        self._child: Child | None = None
        self._url = ""

    def start(self) -> None:
        program = Path(sys.executable).parent / "penstock"
        if not program.exists():
            raise StartError(f"no `penstock` command beside {Path(sys.executable).name}: run `make setup`")
        ready, state = self._folder / "ready.json", self._folder / "state"
        shutil.rmtree(state, ignore_errors=True)
        command = [str(program), "up", str(CHAIN), "--listen", "127.0.0.1:0", "--ready-file", str(ready)]
        self._child = Child([*command, "--state-dir", str(state), "--replicas", "1"], self._folder / "log")
        self._child.wait_ready(ready.exists, "penstock up", START_S)
        said = urlsplit(json.loads(ready.read_text())["chains"][0]["url"])
        self._url = said.geturl()

    def processes(self) -> list[tuple[str, int]]:
        if self._child is None:
            return []
        named = []
        for pid, command in process_tree(self._child.pid).items():
            name = CONTROL
            if "penstock_edge" in command:
                name = "edge"
            elif "penstock_runner" in command and "Frames" not in command:
                name = "callee" if "Notes" in command else "caller"
            elif "penstock_runner" in command:
                name = "callee of arrays"
            named.append((name, pid))
        return named

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop(signal.SIGINT, grace_s=15)
            self._child = None

    def measure(self, row: Row, seconds: float, warm_s: float) -> dict[str, float]:
        body = {"kind": row.kind, "in_flight": row.in_flight, "seconds": seconds, "warm_s": warm_s}
        return _post(self._url, body, seconds + warm_s)


def _post(url: str, body: dict[str, Any], measured_s: float) -> dict[str, float]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60 + measured_s) as response:
            said: dict[str, float] = json.load(response)
    except (urllib.error.URLError, TimeoutError) as error:
        detail = error.read()[:300].decode("utf-8", "replace") if isinstance(error, urllib.error.HTTPError) else ""
        raise LoadError(f"{error} {detail}".strip()) from error
    if not said["calls"]:
        raise LoadError("not one call was made in the measured time")
    return said
