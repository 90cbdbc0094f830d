"""One direction of a relayed stream: what comes on one trunk goes on on the other, with the credit behind it. Pure.

Credit goes back to the sender when its data is on its way to the receiver, so a receiver that takes nothing stops the
sender. What is held meanwhile is what the sender's window allows, and no more.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from penstock.api.trunk.v1 import trunk_pb2
from penstock.trunk.batch import Kind
from penstock.trunk.stream import Closing, TrunkStream

_TEXT = int(Kind.TEXT)
_MIDDLE = int(Kind.MIDDLE)
_LAST = int(Kind.LAST)


class WayOwner(Protocol):
    """Who joins two ways."""

    def may_pass(self, way: Way, data: bytes) -> bool:
        """Whether the segment, which is counted already, may go on."""

    def source_closed(self, way: Way, closing: Closing) -> None:
        """The source sends nothing more."""


class Way:
    """Sink of `source`; what comes goes on into `target`, whose own sink is `back`."""

    __slots__ = (
        "_owner",
        "_pending",
        "_queued_bytes",
        "back",
        "bytes",
        "message_bytes",
        "messages",
        "source",
        "target",
    )

    def __init__(self, owner: WayOwner, source: TrunkStream, target: TrunkStream) -> None:
        self._owner = owner
        self.source = source
        self.target = target
        self.back: Way = self
        """The other direction; set by who joins both."""
        self.bytes = 0
        self.messages = 0
        self.message_bytes = 0
        """Size of the message that passes, as far as it has come."""
        self._pending: deque[tuple[int, bytes]] | None = None
        """What came while something was queued in the target."""
        self._queued_bytes = -1
        """Size of the segment that is queued in the target, and whose credit is owed to the source; -1: none is."""

    def on_segment(self, kind: int, data: bytes) -> None:
        """A message or a segment of one."""
        size = len(data)
        self.bytes += size
        if kind <= _TEXT:
            self.messages += 1
            self.message_bytes = size
        elif kind < _MIDDLE:
            self.message_bytes = size
        else:
            self.messages += kind == _LAST
            self.message_bytes += size
        if not self._owner.may_pass(self, data):
            return
        if self._queued_bytes >= 0:
            if self._pending is None:
                self._pending = deque()
            self._pending.append((kind, data))
        elif self.target.send(kind, data):
            self.source.consumed(size)
        else:
            self._queued_bytes = size

    def on_writable(self) -> None:
        """What was queued in `source`, by the other direction, is on its way."""
        self.back.go_on()

    def go_on(self) -> None:
        """The target takes more."""
        if self._queued_bytes >= 0:
            self.source.consumed(self._queued_bytes)
            self._queued_bytes = -1
        while self._pending:
            kind, data = self._pending.popleft()
            if not self.target.send(kind, data):
                self._queued_bytes = len(data)
                return
            self.source.consumed(len(data))

    def finish(self, closing: Closing, *, discard: bool = False) -> None:
        """Closes the target, behind everything that has come unless it is discarded."""
        pending, self._pending = self._pending, None
        if not discard:
            for kind, data in pending or ():
                self.target.send(
                    kind, data
                )  # it is queued there; there is no more of it than the window has let through
        self.target.close(*closing, discard=discard)

    def on_close(self, closing: Closing) -> None:
        """The source has closed, or its trunk is lost."""
        self._owner.source_closed(self, closing)

    def on_accept(self, accept: trunk_pb2.AcceptStream) -> None:
        """Never called: the opening takes the answer."""

    def on_reject(self, reject: trunk_pb2.RejectStream) -> None:
        """Never called: the opening takes the answer."""
