"""The calling side of a trunk: the connection, the call on it, and everybody who waits for them."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import grpc
import grpc.aio

from penstock.api.trunk.v1 import trunk_pb2
from penstock.trunk.endpoint import Endpoint, Role
from penstock.trunk.limits import BATCH_WIRE_BYTES_MAX, STREAM_ID_MAX
from penstock.trunk.pacing import Pacer
from penstock.trunk.pump import Writer, read_all
from penstock.trunk.stream import TrunkStream

CONNECT_METHOD = f"/{trunk_pb2.DESCRIPTOR.services_by_name['TrunkService'].full_name}/Connect"

DIAL_TIMEOUT_S = 5.0
"""Time for the peer's Hello. A process that listens answers in milliseconds, unless its loop is blocked."""

CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", BATCH_WIRE_BYTES_MAX),
    ("grpc.max_send_message_length", BATCH_WIRE_BYTES_MAX),
    # Notices a host that vanished without a word; the peer's C core answers these even while its loop is blocked.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
    # Each trunk has a connection of its own, so that a dead one is never taken again.
    ("grpc.use_local_subchannel_pool", 1),
]


class TrunkWaiter(Protocol):
    """Who waits for a trunk to be ready. Exactly one of both is called, once."""

    def trunk_ready(self) -> None:
        """The trunk carries streams now."""

    def trunk_failed(self) -> None:
        """The trunk could not be made."""


class TrunkOwner(Protocol):
    """Who has dialled a trunk. The calls come from the loop, and must not raise."""

    @property
    def trunk_name(self) -> str:
        """Returns the owner's own id, which the peer is told."""

    def after_batch(self) -> None:
        """A batch was received and handed to the streams; time to flush what it caused."""

    def trunk_go_away(self, trunk: Trunk, reason: str) -> None:
        """The peer wants no more streams on this trunk."""

    def trunk_ended(self, trunk: Trunk, detail: str, streams: int, *, was_ready: bool) -> None:
        """The trunk is over; never take it again. Comes before its streams and those who wait for it are told.

        Args:
            detail: why, without payload; may be logged.
            streams: how many are lost with it.
        """


class Trunk:
    """One trunk, from the first attempt to reach the peer until its end. Never used again after that.

    Args:
        peer_id: who is to be reached, for the owner and for names of tasks.
        address: "host:port".
    """

    def __init__(self, owner: TrunkOwner, peer_id: str, address: str) -> None:
        self._owner = owner
        self.peer_id = peer_id
        self.address = address
        self.waiters: dict[TrunkWaiter, None] = {}
        """Those that wait for this trunk to be ready, in the order of their coming."""
        self._endpoint: Endpoint | None = None
        self._is_over = False
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"trunk {peer_id}")
        # A task that is cancelled before its first step runs no `finally`.
        self._task.add_done_callback(lambda _: self._ended("cancelled"))

    @property
    def is_ready(self) -> bool:
        """Whether streams can be opened."""
        endpoint = self._endpoint
        return endpoint is not None and endpoint.peer_name is not None and endpoint.fault is None

    def open(self, request: trunk_pb2.OpenStream) -> TrunkStream | None:
        """Opens a stream; None when the trunk carries no more."""
        try:
            return self._endpoint.open(request) if self._endpoint is not None else None
        except RuntimeError:
            return None

    @property
    def stream_count(self) -> int:
        """Streams that are not over."""
        return len(self._endpoint.streams) if self._endpoint is not None else 0

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        writer = Writer(Pacer(loop.time()))
        detail = "not reached"
        channel = grpc.aio.insecure_channel(self.address, options=CHANNEL_OPTIONS)
        writing: asyncio.Task[None] | None = None
        dial_timer: asyncio.TimerHandle | None = None
        try:
            call: Any = channel.stream_stream(CONNECT_METHOD, None, None)()
            endpoint = Endpoint(
                Role.EDGE,
                self._owner.trunk_name,
                on_output=writer.wake,
                on_hello=self._hello,
                on_go_away=self._go_away,
            )
            self._endpoint = endpoint
            writing = loop.create_task(writer.run(call, endpoint), name=f"trunk writer {self.peer_id}")
            # Without its writer a trunk would hang in silence; the end of the call is what everybody is told of.
            writing.add_done_callback(lambda _: call.cancel())
            dial_timer = loop.call_later(DIAL_TIMEOUT_S, self._dialled_too_long, call)
            detail = await read_all(call, endpoint, self._owner.after_batch)
        except grpc.aio.AioRpcError as error:
            detail = f"{error.code().name}: {error.details()}"
        except asyncio.CancelledError:
            # Either this task is cancelled (its owner stops), or the call was, which reads as a cancellation too.
            detail = "cancelled"
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
        finally:
            if dial_timer is not None:
                dial_timer.cancel()
            self._ended(detail)
            if writing is not None:
                writing.cancel()
                await asyncio.gather(writing, return_exceptions=True)
            await channel.close()

    def _dialled_too_long(self, call: Any) -> None:
        if not self.is_ready:
            call.cancel()

    def _hello(self) -> None:
        waiters, self.waiters = self.waiters, {}
        for waiter in waiters:
            waiter.trunk_ready()

    def _go_away(self, reason: str) -> None:
        self._owner.trunk_go_away(self, reason)

    def _ended(self, detail: str) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._owner.trunk_ended(self, detail, self.stream_count, was_ready=self.is_ready)
        if self._endpoint is not None:
            self._endpoint.lose(detail)
        waiters, self.waiters = self.waiters, {}
        for waiter in waiters:
            waiter.trunk_failed()
        self._owner.after_batch()

    def stop(self) -> None:
        """Ends the trunk and every stream on it."""
        self._task.cancel()

    async def wait_ended(self) -> None:
        """Returns when nothing of it is left."""
        await asyncio.gather(self._task, return_exceptions=True)

    @property
    def is_worn(self) -> bool:
        """Its stream ids are nearly used up; new streams need a new trunk."""
        return self._endpoint is not None and self._endpoint.last_id > STREAM_ID_MAX - 1_000_000
