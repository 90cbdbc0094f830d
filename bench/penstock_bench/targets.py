"""The servers that are compared. Each one echoes with the same Truss model, on loopback."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from penstock_bench.processes import Child, StartError, answers, free_port, process_tree
from penstock_bench.samples import CONTROL

SERVERS = Path(__file__).resolve().parent.parent / "servers"
START_S = 90.0

Method = Literal["websocket", "predict"]
"""Which method of the model is called."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    port: int
    path: str


class Target(ABC):
    """A server under measurement. `start` raises StartError; `stop` may be called at any time, twice as well."""

    name: str
    title: str
    conns_max = 1 << 20
    """More connections at once than the server takes by its own default limit are not asked of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / self.name
        self.folder.mkdir(parents=True, exist_ok=True)

    @abstractmethod
    def start(self) -> Endpoint: ...

    @abstractmethod
    def processes(self) -> list[tuple[str, int]]:
        """(name, pid) of what is measured now; processes of the same name are added up."""

    @abstractmethod
    def stop(self) -> None: ...


class Direct(Target):
    name = "direct"
    title = "FastAPI on uvicorn (websockets-sansio, uvloop), no hop"

    def __init__(self, folder: Path, truss: Path, method: Method = "websocket") -> None:
        super().__init__(folder)
        self._truss = truss
        self._path = "/v1/websocket" if method == "websocket" else "/v1/models/model:predict"
        self._child: Child | None = None

    def start(self) -> Endpoint:
        port_file = self.folder / "port"
        port_file.unlink(missing_ok=True)
        command = [sys.executable, str(SERVERS / "direct_server.py"), str(self._truss), "--port-file", str(port_file)]
        self._child = Child(command, self.folder / "log")
        self._child.wait_ready(lambda: port_file.exists() and bool(port_file.read_text()), self.title, START_S)
        port = int(port_file.read_text())
        self._child.wait_ready(lambda: answers(f"http://127.0.0.1:{port}/healthz"), self.title, START_S)
        return Endpoint(port, self._path)

    def processes(self) -> list[tuple[str, int]]:
        return [("server", self._child.pid)] if self._child else []

    def stop(self) -> None:
        if self._child:
            self._child.stop()
            self._child = None


# 64 KiB: with nginx's default of one page, each 64 KiB message takes sixteen rounds through it.
NGINX_CONFIG = """\
daemon off;
worker_processes 1;
worker_rlimit_nofile 65536;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 16384; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  upstream model {{ server 127.0.0.1:{upstream}; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://model;
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection "upgrade";
      proxy_set_header Host $host;
      proxy_read_timeout 3600s;
      proxy_send_timeout 3600s;
      proxy_buffer_size 64k;
      proxy_buffers 8 64k;
      proxy_busy_buffers_size 128k;
    }}
  }}
}}
"""


class Nginx(Target):
    name = "nginx"
    title = "nginx (one worker, 64k buffers) in front of the same FastAPI server"

    def __init__(self, folder: Path, truss: Path) -> None:
        super().__init__(folder)
        # A server of its own: memory that the other one freed would hide what streams take here.
        self._upstream = Direct(self.folder, truss)
        self._child: Child | None = None

    def start(self) -> Endpoint:
        program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
        if program is None:
            raise StartError("nginx is not installed (apt-get install nginx-light)")
        upstream = self._upstream.start()
        port = free_port()
        config = self.folder / "nginx.conf"
        config.write_text(NGINX_CONFIG.format(folder=self.folder, port=port, upstream=upstream.port))
        command = [program, "-c", str(config), "-p", str(self.folder), "-e", str(self.folder / "error.log")]
        self._child = Child(command, self.folder / "log")
        self._child.wait_ready(lambda: answers(f"http://127.0.0.1:{port}/healthz"), self.title, START_S)
        return Endpoint(port, upstream.path)

    def processes(self) -> list[tuple[str, int]]:
        mine = [("nginx", pid) for pid in process_tree(self._child.pid)] if self._child else []
        return mine + self._upstream.processes()

    def stop(self) -> None:
        if self._child:
            self._child.stop(signal.SIGTERM)
            self._child = None
        self._upstream.stop()


class Penstock(Target):
    name = "penstock"
    title = "Penstock: edge, trunk, runner, Truss websocket method"

    def __init__(self, folder: Path, truss: Path, options: list[str], method: Method = "websocket") -> None:
        super().__init__(folder)
        self._truss = truss
        self._options = options
        self._method = method
        self._child: Child | None = None

    def start(self) -> Endpoint:
        program = Path(sys.executable).parent / "penstock"
        if not program.exists():
            raise StartError(f"no `penstock` command beside {Path(sys.executable).name}: run `make setup`")
        ready, state = self.folder / "ready.json", self.folder / "state"
        ready.unlink(missing_ok=True)
        shutil.rmtree(state, ignore_errors=True)
        command = [str(program), "up", str(self._truss), "--listen", "127.0.0.1:0", "--ready-file", str(ready)]
        self._child = Child([*command, "--state-dir", str(state), *self._options], self.folder / "log")
        self._child.wait_ready(ready.exists, self.title, START_S)
        url = urlsplit(json.loads(ready.read_text())["deployments"][0]["websocket"])
        return Endpoint(int(url.port or 80), url.path.removesuffix("websocket") + self._method)

    def processes(self) -> list[tuple[str, int]]:
        if not self._child:
            return []
        names = {"penstock_edge": "edge", "penstock_runner": "runner"}
        return [
            (next((name for module, name in names.items() if module in command), CONTROL), pid)
            for pid, command in process_tree(self._child.pid).items()
        ]

    def stop(self) -> None:
        if self._child:
            self._child.stop(signal.SIGINT, grace_s=15)
            self._child = None


class RunningPenstock(Target):
    """One that somebody else started: `--penstock-url` and `--penstock-pids`."""

    name = "penstock"
    title = Penstock.title

    def __init__(self, folder: Path, url: str, pids: list[tuple[str, int]]) -> None:
        super().__init__(folder)
        self._url = urlsplit(url)
        self._pids = pids

    def start(self) -> Endpoint:
        if self._url.hostname not in {"127.0.0.1", "localhost"}:
            raise StartError("--penstock-url must name 127.0.0.1: the load generator stays on this machine")
        return Endpoint(int(self._url.port or 80), self._url.path or "/")

    def processes(self) -> list[tuple[str, int]]:
        return self._pids

    def stop(self) -> None:
        """Whoever started it ends it."""


class Ray(Target):
    name = "ray"
    title = "Ray Serve as shipped (proxy actor, one replica)"

    def __init__(self, folder: Path, truss: Path, python: str) -> None:
        super().__init__(folder)
        self._truss = truss
        self._python = python
        self._child: Child | None = None

    def environment(self) -> dict[str, str]:
        return {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0"}

    def start(self) -> Endpoint:
        probe = subprocess.run([self._python, "-c", "import ray.serve"], capture_output=True, timeout=60, check=False)
        if probe.returncode:
            raise StartError("Ray Serve is not installed (pip install 'penstock[bench]', or --ray-python)")
        ready = self.folder / "ready"
        ready.unlink(missing_ok=True)
        port = free_port()
        command = [self._python, str(SERVERS / "ray_server.py"), str(self._truss), "--port", str(port)]
        self._child = Child([*command, "--ready-file", str(ready)], self.folder / "log", env=self.environment())
        self._child.wait_ready(ready.exists, self.title, START_S)
        return Endpoint(port, "/v1/websocket")

    def processes(self) -> list[tuple[str, int]]:
        if not self._child:
            return []
        names = {"ray::ServeReplica": "replica", "ray::ProxyActor": "proxy", "haproxy ": "haproxy"}
        return [
            (next((name for part, name in names.items() if part in command), CONTROL), pid)
            for pid, command in process_tree(self._child.pid).items()
        ]

    def stop(self) -> None:
        if self._child:
            self._child.stop(signal.SIGTERM, grace_s=20)
            self._child = None


class RayHaproxy(Ray):
    name = "ray-haproxy"
    title = "Ray Serve in its HAProxy mode (direct ingress)"
    conns_max = 4096 // 2
    """Its HAProxy refuses above maxconn 4096."""

    def __init__(self, folder: Path, truss: Path, python: str) -> None:
        super().__init__(folder, truss, python)
        # Its own folder, short: Serve adds 57 characters to it, and a unix socket's path ends at 97.
        self._sockets = tempfile.TemporaryDirectory(prefix="ph")

    def environment(self) -> dict[str, str]:
        return {
            **super().environment(),
            "RAY_SERVE_ENABLE_HA_PROXY": "1",
            "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": f"{self._sockets.name}/haproxy.cfg",
            "RAY_SERVE_HAPROXY_SOCKET_PATH": f"{self._sockets.name}/admin.sock",
            "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": self._sockets.name,
            "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": f"{self._sockets.name}/server-state",
            "RAY_SERVE_HAPROXY_METRICS_PORT": str(free_port()),
            "RAY_SERVE_HAPROXY_STATS_PORT": str(free_port()),
        }

    def stop(self) -> None:
        super().stop()
        self._sockets.cleanup()
