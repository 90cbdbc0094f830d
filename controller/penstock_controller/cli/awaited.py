"""What `controller wait` waits for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from penstock.api.control.v1 import admin_pb2
from penstock_controller.cli.quantities import counted
from penstock_controller.cli.render.wording import headline

NUMBER_MAX = 1_000_000


class What(StrEnum):
    READY = "ready"
    """At least so many replicas are ready."""
    STREAMS = "streams"
    """At most so many streams are open."""
    WAITING = "waiting"
    """At most so many streams wait."""
    DRAINED = "drained"
    """No replica drains."""


@dataclass(frozen=True, slots=True)
class Awaited:
    """A condition on a deployment."""

    what: What
    number: int = 0

    @classmethod
    def parse(cls, text: str) -> Awaited:
        """Reads "ready=2", "streams=0", "waiting=0" or "drained".

        Raises:
            ValueError: It is none of them.
        """
        if text == What.DRAINED:
            return cls(What.DRAINED)
        match = re.fullmatch(r"(ready|streams|waiting)=(\d{1,7})", text)
        if match is None or int(match[2]) > NUMBER_MAX:
            raise ValueError(f"must be ready=N, streams=N, waiting=N or drained, N up to {NUMBER_MAX}, got {text!r}")
        return cls(What(match[1]), int(match[2]))

    def missing(self, status: admin_pb2.GetStatusResponse, d: admin_pb2.DeploymentStatus) -> str:
        """Says what is missing; "" when the condition holds.

        While the controller has not heard of every replica nothing can be said to be over.
        """
        said = self._missing(d)
        if not said and status.controller.recovering and self.what is not What.READY:
            return "the controller has restarted and has not heard of every replica yet"
        return said

    def _missing(self, d: admin_pb2.DeploymentStatus) -> str:
        if self.what is What.READY and d.ready_replicas < self.number:
            reasons = [
                f"{d.starting_replicas} starting" if d.starting_replicas else "",
                f"{d.failed_replicas} failed" if d.failed_replicas else "",
                f"{d.target_replicas} wanted" if d.target_replicas < self.number else "",
                d.blocked,
                headline(d),
            ]
            return f"{d.ready_replicas} of {counted(self.number, 'replica')} ready" + "".join(
                f", {reason}" for reason in reasons if reason
            )
        if self.what is What.STREAMS and d.active_streams > self.number:
            return f"{counted(d.active_streams, 'stream')} open"
        if self.what is What.WAITING and d.waiting_streams > self.number:
            return f"{counted(d.waiting_streams, 'stream')} waiting"
        if self.what is What.DRAINED and d.draining_replicas:
            return f"{counted(d.draining_replicas, 'replica')} draining, {counted(d.active_streams, 'stream')} open"
        return ""
