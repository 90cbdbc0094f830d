"""Waits until a deployment serves or will not, and shows its build meanwhile."""

from __future__ import annotations

import contextlib
import threading
import time

import grpc

from penstock.api.control.v1 import admin_pb2, admin_pb2_grpc
from penstock.cli.connection import get_status
from penstock.cli.logs.lines import readable
from penstock.cli.progress_line import ProgressLine
from penstock.cli.push.outcome import Seen, Verdict, describe, judge

POLL_S = 0.3
LAST_LINES = 15
"""Lines of the log that are shown of a deployment that will not serve."""
LOG_S = 10.0
"""Time for these lines."""


class Following:
    """Follows one deployment. Use it once."""

    def __init__(
        self, stub: admin_pb2_grpc.AdminServiceStub, deployment_id: str, environment: str, progress: ProgressLine
    ) -> None:
        self._stub = stub
        self._deployment_id = deployment_id
        self._environment = environment
        self._progress = progress
        self._build: threading.Thread | None = None
        self.phase = ""
        self.message = ""
        self.endpoints: tuple[str, ...] = ()

    def run(self, timeout_s: float) -> Verdict:
        """Returns what became of it; WAITING when the time is over."""
        deadline = time.monotonic() + timeout_s
        pause = threading.Event()
        while True:
            verdict = self.look(get_status(self._stub))
            if verdict is not Verdict.WAITING or time.monotonic() >= deadline:
                self._progress.clear()
                return verdict
            pause.wait(min(POLL_S, max(0.0, deadline - time.monotonic())))

    def last_lines(self) -> list[str]:
        """Returns the end of the log of its newest replica, or else of its build."""
        request = admin_pb2.ReadLogsRequest(target=self._deployment_id, tail_lines=LAST_LINES)
        by_origin: dict[str, list[str]] = {}
        with contextlib.suppress(grpc.RpcError):
            for response in self._stub.ReadLogs(request, timeout=LOG_S):
                by_origin.setdefault(response.origin, []).extend(response.lines)
        lines = list(by_origin.values())[-1] if by_origin else []
        shown = [part for line in lines for part in readable(line).splitlines()]
        return shown[-LAST_LINES:]

    def look(self, status: admin_pb2.GetStatusResponse) -> Verdict:
        """Shows what is new, and returns the verdict."""
        found = next((d for d in status.deployments if d.deployment_id == self._deployment_id), None)
        if found is None:
            self.message = "the controller does not know it any more"
            return Verdict.FAILED
        if found.phase != self.phase:
            self.phase = found.phase
            self._progress.end(f"{self._deployment_id}: {describe(found.phase)}")
        if found.phase == "BUILDING" and self._build is None:
            self._build = threading.Thread(target=self._show_build, name="build-log", daemon=True)
            self._build.start()
        self.message = found.message
        self.endpoints = tuple(found.endpoints)
        verdict = judge(Seen(found.phase, tuple(found.environments)), self._environment)
        if verdict is Verdict.WAITING and found.blocked:
            self._progress.show(f"{self._deployment_id}: {found.blocked}")
        return verdict

    def _show_build(self) -> None:
        """Prints what the build writes until it has ended; the end of the channel ends it, too."""
        request = admin_pb2.ReadLogsRequest(target=self._deployment_id, follow=True, build_only=True)
        with contextlib.suppress(grpc.RpcError, ValueError):
            for response in self._stub.ReadLogs(request):
                for line in response.lines:
                    self._progress.end(f"  {line}")
