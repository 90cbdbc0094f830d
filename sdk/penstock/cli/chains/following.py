"""Waits until every chainlet of a chain serves, or one will not."""

from __future__ import annotations

import threading
import time

from penstock.api.control.v1 import admin_pb2_grpc, chain_pb2
from penstock.cli.connection import get_status
from penstock.cli.progress_line import ProgressLine
from penstock.cli.push.following import POLL_S, Following
from penstock.cli.push.outcome import Verdict


class ChainFollowing:
    """Follows one version of a chain. Use it once."""

    def __init__(
        self, stub: admin_pb2_grpc.AdminServiceStub, created: chain_pb2.CreatedChain, progress: ProgressLine
    ) -> None:
        self._stub = stub
        self._progress = progress
        self.chainlets = {
            each.name: Following(stub, each.deployment_id, created.environment, progress) for each in created.chainlets
        }
        """By display name, in the order of the chain."""
        self.failed: tuple[str, ...] = ()
        """Display names of those that will not serve."""

    def run(self, timeout_s: float) -> Verdict:
        """Returns what became of it; WAITING when the time is over."""
        deadline = time.monotonic() + timeout_s
        pause = threading.Event()
        while True:
            verdict = self._look()
            if verdict is not Verdict.WAITING or time.monotonic() >= deadline:
                self._progress.clear()
                return verdict
            pause.wait(min(POLL_S, max(0.0, deadline - time.monotonic())))

    def _look(self) -> Verdict:
        status = get_status(self._stub)
        verdicts = {name: following.look(status) for name, following in self.chainlets.items()}
        self.failed = tuple(name for name, verdict in verdicts.items() if verdict is Verdict.FAILED)
        if self.failed:
            return Verdict.FAILED
        return Verdict.WAITING if Verdict.WAITING in verdicts.values() else Verdict.SERVES
