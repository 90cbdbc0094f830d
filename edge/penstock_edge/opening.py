"""Opens one stream: finds a replica, tries the next when it refuses, waits in line when none has a slot.

Callback-driven, with one timer: a stream that is being opened costs no task. All calls come from the loop thread.
"""

from __future__ import annotations

import asyncio
from math import ceil
from typing import TYPE_CHECKING, Protocol

from penstock.api.control.v1 import control_pb2
from penstock.api.trunk.v1 import trunk_pb2
from penstock.close_codes import ABNORMAL, TABLE, EndCode, end
from penstock.trunk.stream import NO_SINK, Closing, StreamSink, TrunkStream
from penstock_edge.leftover import Leftover

if TYPE_CHECKING:
    from penstock.candidate import Candidate
    from penstock.trunk.connection import Trunk
    from penstock_edge.plane import DataPlane
    from penstock_edge.routing import Deployment

RETRY_AFTER_S = 1
"""What clients are told when they are refused for want of a slot and nothing better is known."""

RETRY_AFTER_S_MAX = 30
"""Longest time that they are told."""


class OpeningOwner(Protocol):
    """Who wants the stream. Exactly one of the first two is called, once, unless the opening is cancelled."""

    def stream_opened(self, stream: TrunkStream, accept: trunk_pb2.AcceptStream, replica_id: str) -> StreamSink:
        """The stream has a slot. Returns the sink that gets everything from now on."""

    def stream_refused(self, reject: trunk_pb2.RejectStream) -> None:
        """There is no slot for it, or nothing to talk to."""

    def deployment_changed(self, deployment: Deployment) -> None:
        """Another deployment was promoted while it waited; its stream will be there. May be called before either."""


class Opening:
    """One attempt of one client to get a stream on a deployment.

    Args:
        request: what the runner is told. It is kept until the stream is open, for further tries.
    """

    __slots__ = (
        "_is_in_line",
        "_is_over",
        "_owner",
        "_plane",
        "_started_at",
        "_stream",
        "_timer",
        "_tried",
        "_trunk",
        "_unanswered",
        "attempts",
        "deployment",
        "request",
        "waiting_since",
    )

    def __init__(
        self, plane: DataPlane, deployment: Deployment, request: trunk_pb2.OpenStream, owner: OpeningOwner
    ) -> None:
        self._plane = plane
        self.deployment = deployment
        self.request = request
        self._owner = owner
        self._tried: set[str] = set()
        """Replicas that have refused, did not answer or broke, since the last wait."""
        self._unanswered = False
        self.attempts = 0
        """Replicas that were asked for a slot, each try counted."""
        self._started_at = plane.now()
        self._trunk: Trunk | None = None
        self._stream: TrunkStream | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.waiting_since: float | None = None
        """When it joined the line of its deployment for the first time; None before that. Tries that come to nothing do
        not change it."""
        self._is_in_line = False
        self._is_over = False

    def start(self) -> None:
        """Goes to the end of the line when others wait for the same deployment, else tries at once."""
        self._follow()
        if self._plane.waiting.has(self.deployment.id):
            self._wait()
        else:
            self.attempt()

    def attempt(self) -> None:
        """Tries the best replica that was not tried yet."""
        self._follow()
        candidate = self._choose()
        if candidate is None:
            self._wait()
        else:
            self._try(candidate)

    def _follow(self) -> bool:
        """Goes over to the deployment that was promoted since; the replicas of the old one are on their way out."""
        successor = self._plane.table.successor(self.deployment)
        if successor is None:
            return False
        self._is_in_line = False
        self._plane.waiting.leave(self)
        self.waiting_since = None
        self._tried.clear()
        self.deployment = successor
        self.request.deployment_id = successor.id
        self.request.message_bytes_max = successor.settings.message_bytes_max
        self._owner.deployment_changed(successor)
        return True

    def _choose(self) -> Candidate | None:
        strategy = self.deployment.settings.placement
        return self._plane.placement.choose(self.deployment.id, self._tried, self._plane.now(), strategy)

    def _try(self, candidate: Candidate) -> None:
        self.attempts += 1
        if self._is_in_line:
            self._is_in_line = False
            self._plane.waiting.step_out(self)
        self._trunk = self._plane.trunks.get(candidate.replica_id, candidate.address)
        self._plane.placement.opened(candidate.replica_id, self._plane.now())
        self._set_timer(self.deployment.settings.handshake_timeout_s, self._no_answer)
        if self._trunk.is_ready:
            self.trunk_ready()
        else:
            self._trunk.waiters[self] = None

    def trunk_ready(self) -> None:
        """The trunk that it waited for carries streams now."""
        assert self._trunk is not None
        self._stream = self._trunk.open(self.request)
        if self._stream is None:
            self.trunk_failed()
        else:
            self._stream.sink = self

    def trunk_failed(self) -> None:
        """The trunk that it waited for could not be made."""
        self._unreachable()

    def cancel(self) -> None:
        """The client has left. No further call of the owner."""
        if self._is_over:
            return
        self._finish()
        if self._stream is not None:
            assert self._trunk is not None
            self._stream.sink = Leftover(self._plane, self.deployment.id, self._trunk.peer_id)
            self._stream.close(EndCode.CLIENT_GONE, ABNORMAL, discard=True)
        elif self._trunk is not None:
            self._trunk.waiters.pop(self, None)
            self._plane.stream_ended(self.deployment.id, self._trunk.peer_id)

    def _finish(self) -> None:
        self._is_over = True
        self._is_in_line = False
        self._plane.waiting.leave(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self, seconds: float, callback: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._plane.loop.call_later(seconds, callback)  # type: ignore[arg-type]

    def _try_next(self) -> None:
        assert self._trunk is not None
        self._tried.add(self._trunk.peer_id)
        self._trunk.waiters.pop(self, None)
        self._trunk = None
        self._stream = None
        self.attempt()

    def _no_answer(self) -> None:
        """The replica has not answered in time: its loop is blocked, or the way to it is."""
        self._unanswered = True
        if self._stream is not None:
            self._stream.sink = NO_SINK  # `_give_back_unreachable` gives the place back
            self._stream.close(EndCode.CLIENT_GONE, ABNORMAL, discard=True)
        self._give_back_unreachable()
        settings = self.deployment.settings
        if self._plane.now() >= self._started_at + settings.queue_timeout_s + 2 * settings.handshake_timeout_s:
            # Many replicas may be silent, and each costs a handshake_timeout. Two are tried in any case.
            self._trunk = self._stream = None
            self._refuse(EndCode.HANDSHAKE_TIMEOUT)
            return
        self._try_next()

    def _unreachable(self) -> None:
        self._give_back_unreachable()
        self._try_next()

    def _give_back_unreachable(self) -> None:
        assert self._trunk is not None
        self._trunk.waiters.pop(self, None)
        self._plane.placement.refused(self._trunk.peer_id, self._plane.now())
        self._plane.met(self._trunk.peer_id, control_pb2.PLACEMENT_OUTCOME_UNREACHABLE)

    def _wait(self) -> None:
        """Joins the line, at its end the first time; refused when it is full or the time is over."""
        settings, now = self.deployment.settings, self._plane.now()
        if self.waiting_since is None:
            if settings.queue_timeout_s <= 0 or not self._plane.waiting.join(self):
                self._refuse(self._refusal(EndCode.QUEUE_FULL if settings.queue_timeout_s > 0 else None))
                return
            self.waiting_since = now
            self._plane.line_grew(self.deployment.id)
        elif now >= self.waiting_since + settings.queue_timeout_s:
            self._waited_too_long()
            return
        else:
            self._plane.waiting.step_in(self)
        self._is_in_line = True
        self._set_timer(self.waiting_since + settings.queue_timeout_s - now, self._waited_too_long)
        if self._tried or self._plane.waiting.length(self.deployment.id) == 1:
            # A replica that it has tried may have a slot again; and somebody must look when the next one returns.
            self._plane.wake_soon(self.deployment.id)

    def wake(self) -> bool:
        """There may be a slot now. Returns whether a replica is being tried. Called while it stands in line."""
        self._tried.clear()
        if self._follow():
            self.start()
            return True
        candidate = self._choose()
        if candidate is None:
            return False
        self._try(candidate)
        return True

    def _waited_too_long(self) -> None:
        self._refuse(self._refusal(EndCode.HANDSHAKE_TIMEOUT if self._unanswered else EndCode.QUEUE_TIMEOUT))

    def _refusal(self, code: EndCode | None) -> EndCode:
        if code is not None:
            return code
        ready = self._plane.placement.ready_count(self.deployment.id, self._plane.now())
        return EndCode.REPLICA_FULL if ready else EndCode.REPLICA_NOT_READY

    def _refuse(self, code: EndCode) -> None:
        self._finish()
        self._plane.waiting.count_refusal(self.deployment.id)
        self._owner.stream_refused(trunk_pb2.RejectStream(code=code, retry_after_seconds=self._retry_after(code)))

    def _retry_after(self, code: EndCode) -> int:
        """With a full line and no replica at all, nobody gets a place before the first one has waited in vain."""
        placement, now = self._plane.placement, self._plane.now()
        first = self._plane.waiting.first(self.deployment.id)
        if code is not EndCode.QUEUE_FULL or first is None or placement.ready_count(self.deployment.id, now):
            return RETRY_AFTER_S
        assert first.waiting_since is not None
        left_s = first.waiting_since + first.deployment.settings.queue_timeout_s - now
        return min(RETRY_AFTER_S_MAX, max(RETRY_AFTER_S, ceil(left_s)))

    # Sink of the stream until the runner has answered

    def on_accept(self, accept: trunk_pb2.AcceptStream) -> None:
        """The runner has given it a slot."""
        assert self._stream is not None and self._trunk is not None
        if self._plane.placement.answered(self._trunk.peer_id):
            self._plane.wake_soon(self.deployment.id)
        self._finish()
        self._stream.sink = self._owner.stream_opened(self._stream, accept, self._trunk.peer_id)

    def on_reject(self, reject: trunk_pb2.RejectStream) -> None:
        """The runner has no slot, or refuses for a reason that another replica would have too."""
        assert self._trunk is not None
        placement, replica_id = self._plane.placement, self._trunk.peer_id
        code = end(reject.code).code
        now = self._plane.now()
        self._stream = None
        if code is EndCode.REPLICA_FULL:
            placement.refused(replica_id, now)
            self._plane.met(replica_id, control_pb2.PLACEMENT_OUTCOME_FULL)
        elif code in (EndCode.REPLICA_DRAINING, EndCode.REPLICA_NOT_READY):
            placement.refused(replica_id, now)
            self._plane.met(replica_id, control_pb2.PLACEMENT_OUTCOME_DRAINING)
        elif code is EndCode.NOT_FOUND:  # another runner has this address now
            placement.refused(replica_id, now)
            self._plane.met(replica_id, control_pb2.PLACEMENT_OUTCOME_UNREACHABLE)
        else:
            self._plane.stream_ended(self.deployment.id, replica_id)
            self._finish()
            self._owner.stream_refused(reject)
            return
        self._try_next()

    def on_close(self, closing: Closing) -> None:
        """The trunk broke before the answer. A request is not sent again: the model may have begun with it, and may
        have died of it."""
        self._stream = None
        if self.request.transport != trunk_pb2.TRANSPORT_HTTP:
            self._unreachable()
            return
        self._give_back_unreachable()
        self._finish()
        code = EndCode.REPLICA_LOST
        self._owner.stream_refused(trunk_pb2.RejectStream(code=code, retry_after_seconds=RETRY_AFTER_S))

    def on_segment(self, kind: int, data: bytes) -> None:
        """Never called: the endpoint lets no data through before the answer."""

    def on_writable(self) -> None:
        """Never called: nothing was sent."""


def refusal_text(reject: trunk_pb2.RejectStream) -> str:
    """Text of a refusal for the client."""
    return reject.reason or TABLE[end(reject.code).code].reason
