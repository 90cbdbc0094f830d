"""The far end of a runner's trunk, in memory: an edge that opens streams and notes what the model does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from penstock.api.trunk.v1 import trunk_pb2
from penstock.close_codes import ABNORMAL, EndCode
from penstock.trunk.batch import Kind
from penstock.trunk.endpoint import Endpoint, Role
from penstock.trunk.stream import Closing, TrunkStream

DEPLOYMENT_ID = "d1"


@dataclass
class ClientSide:
    """A stream as the edge sees it."""

    trunk: MemoryTrunk
    stream: TrunkStream
    is_accepted: bool = False
    rejected: trunk_pb2.RejectStream | None = None
    closing: Closing | None = None
    segments: list[tuple[int, bytes]] = field(default_factory=list)
    consumes: bool = True
    """Whether the client takes everything at once."""

    def on_accept(self, accept: trunk_pb2.AcceptStream) -> None:
        self.is_accepted = True

    def on_reject(self, reject: trunk_pb2.RejectStream) -> None:
        self.rejected = reject

    def on_segment(self, kind: int, data: bytes) -> None:
        self.segments.append((kind, data))
        if self.consumes:
            self.stream.consumed(len(data))

    def on_close(self, closing: Closing) -> None:
        self.closing = closing

    def on_writable(self) -> None:
        pass

    @property
    def messages(self) -> list[tuple[int, bytes]]:
        """Whole messages: (TEXT or BINARY, data)."""
        whole: list[tuple[int, bytes]] = []
        parts: list[bytes] = []
        opened = 0
        for kind, data in self.segments:
            if kind in (Kind.TEXT, Kind.BINARY):
                whole.append((kind, data))
                continue
            if kind in (Kind.TEXT_FIRST, Kind.BINARY_FIRST):
                parts, opened = [], int(Kind.TEXT if kind == Kind.TEXT_FIRST else Kind.BINARY)
            parts.append(data)
            if kind == Kind.LAST:
                whole.append((opened, b"".join(parts)))
        return whole

    def send(self, message: str | bytes) -> bool:
        """Sends a message; returns False when the model is slow and it waits."""
        if isinstance(message, str):
            done = self.stream.send(Kind.TEXT, message.encode())
        else:
            done = self.stream.send(Kind.BINARY, message)
        self.trunk.pump()
        return done

    def take(self) -> None:
        """Takes everything that has come, as a slow client does at last."""
        for _, data in self.segments:
            self.stream.consumed(len(data))
        self.consumes = True
        self.trunk.pump()

    def close(self, code: int = 1000, reason: str = "") -> None:
        """The client closes with a close frame."""
        self.stream.close(EndCode.CLIENT_CLOSED, code, reason)
        self.trunk.pump()

    def vanish(self) -> None:
        """The client's connection breaks."""
        self.stream.close(EndCode.CLIENT_GONE, ABNORMAL, discard=True)
        self.trunk.pump()


class MemoryTrunk:
    """Both endpoints. `on_open` gets every new stream, as the runner's server would give it to its sessions."""

    def __init__(self, on_open: Callable[[Endpoint, TrunkStream, trunk_pb2.OpenStream], None]) -> None:
        self._is_due = False
        self.edge = Endpoint(Role.EDGE, "edge", on_output=self._due)
        self.runner = Endpoint(
            Role.RUNNER,
            "runner",
            on_output=self._due,
            on_open=lambda stream, request: on_open(self.runner, stream, request),
        )
        self.pump()

    def _due(self) -> None:
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self.pump)

    def pump(self) -> None:
        """Carries what is waiting, both ways, until nothing is."""
        moved = True
        while moved:
            moved = False
            for source, target in ((self.edge, self.runner), (self.runner, self.edge)):
                while (batch := source.take_batch()) is not None:
                    assert target.receive(batch) is None, target.fault
                    moved = True
        self._is_due = False

    def open(
        self,
        *,
        message_bytes_max: int = 100 * 1024 * 1024,
        deployment_id: str = DEPLOYMENT_ID,
        request: trunk_pb2.OpenStream | None = None,
    ) -> ClientSide:
        """A client opens a stream."""
        if request is None:
            request = trunk_pb2.OpenStream(
                stream_id="s1", deployment_id=deployment_id, message_bytes_max=message_bytes_max
            )
        side = ClientSide(self, self.edge.open(request))
        side.stream.sink = side
        self.pump()
        return side

    def lose(self) -> None:
        """The trunk breaks."""
        self.edge.lose("lost by the test")
        self.runner.lose("lost by the test")


async def settle() -> None:
    """Lets everything run that needs no time."""
    for _ in range(20):
        await asyncio.sleep(0)


async def pass_time(seconds: float) -> None:
    """Waits; takes no time on a virtual loop."""
    reached = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, reached.set)
    await reached.wait()
