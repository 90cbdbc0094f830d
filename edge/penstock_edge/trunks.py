"""Trunks of this edge process: one per replica, dialled when the replica becomes known, again when it is needed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import structlog

from penstock.api.trunk.v1 import trunk_pb2
from penstock.trunk.endpoint import Endpoint, Role
from penstock.trunk.limits import BATCH_WIRE_BYTES_MAX, STREAM_ID_MAX
from penstock.trunk.pacing import Pacer
from penstock.trunk.pump import Writer, read_all
from penstock.trunk.stream import TrunkStream

if TYPE_CHECKING:
    from penstock_edge.opening import Opening

log = structlog.get_logger("edge")

CONNECT_METHOD = f"/{trunk_pb2.DESCRIPTOR.services_by_name['TrunkService'].full_name}/Connect"

DIAL_TIMEOUT_S = 5.0
"""Time for a runner's Hello. A process that listens answers in milliseconds, unless its loop is blocked."""

CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", BATCH_WIRE_BYTES_MAX),
    ("grpc.max_send_message_length", BATCH_WIRE_BYTES_MAX),
    # Notices a host that vanished without a word; the runner's C core answers these even while its loop is blocked.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.enable_retries", 0),
    # Each trunk has a connection of its own, so that a dead one is never taken again.
    ("grpc.use_local_subchannel_pool", 1),
]


class Trunk:
    """One trunk, from the first attempt to reach the replica until its end. Never used again after that."""

    def __init__(self, pool: Trunks, replica_id: str, address: str) -> None:
        self._pool = pool
        self.replica_id = replica_id
        self.address = address
        self.openings: dict[Opening, None] = {}
        """Those that wait for this trunk to be ready, in the order of their coming."""
        self._endpoint: Endpoint | None = None
        self._is_over = False
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"trunk {replica_id}")
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
                self._pool.edge_id,
                on_output=writer.wake,
                on_hello=self._hello,
                on_go_away=self._go_away,
            )
            self._endpoint = endpoint
            writing = loop.create_task(writer.run(call, endpoint), name=f"trunk writer {self.replica_id}")
            # Without its writer a trunk would hang in silence; the end of the call is what everybody is told of.
            writing.add_done_callback(lambda _: call.cancel())
            dial_timer = loop.call_later(DIAL_TIMEOUT_S, self._dialled_too_long, call)
            detail = await read_all(call, endpoint, self._pool.after_batch)
        except grpc.aio.AioRpcError as error:
            detail = f"{error.code().name}: {error.details()}"
        except asyncio.CancelledError:
            # Either this task is cancelled (the edge stops), or the call was, which reads as a cancellation too.
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
        openings, self.openings = self.openings, {}
        for opening in openings:
            opening.trunk_ready()

    def _go_away(self, reason: str) -> None:
        self._pool.on_go_away(self.replica_id)

    def _ended(self, detail: str) -> None:
        if self._is_over:
            return
        self._is_over = True
        was_ready = self.is_ready
        self._pool.forget(self)
        if self._endpoint is not None:
            streams = self.stream_count
            self._endpoint.lose(detail)
            if was_ready:
                log.info("trunk_lost", replica=self.replica_id, detail=detail, streams=streams)
        openings, self.openings = self.openings, {}
        for opening in openings:
            opening.trunk_failed()
        self._pool.after_batch()

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


class Trunks:
    """All trunks of an edge process.

    Args:
        after_batch: called after each received batch, to flush what it caused.
        on_go_away: called with the id of a replica that wants no more streams.
    """

    def __init__(self, edge_id: str, *, after_batch: Callable[[], None], on_go_away: Callable[[str], None]) -> None:
        self.edge_id = edge_id
        self.after_batch = after_batch
        self.on_go_away = on_go_away
        self._trunks: dict[str, Trunk] = {}
        self._all: set[Trunk] = set()

    def get(self, replica_id: str, address: str) -> Trunk:
        """Returns the living trunk to a replica, or dials one."""
        trunk = self._trunks.get(replica_id)
        if trunk is None or trunk.address != address or trunk.is_worn:
            trunk = Trunk(self, replica_id, address)
            self._trunks[replica_id] = trunk
            self._all.add(trunk)
        return trunk

    def forget(self, trunk: Trunk) -> None:
        """Takes a trunk that is over out of the pool."""
        self._all.discard(trunk)
        if self._trunks.get(trunk.replica_id) is trunk:
            del self._trunks[trunk.replica_id]

    def drop_idle(self, replica_id: str) -> None:
        """Ends the trunk to a replica that is gone, if no stream is on it; else its own end will tell."""
        trunk = self._trunks.get(replica_id)
        if trunk is not None and trunk.stream_count == 0:
            trunk.stop()

    async def stop(self) -> None:
        """Ends every trunk."""
        trunks = list(self._all)
        for trunk in trunks:
            trunk.stop()
        for trunk in trunks:
            await trunk.wait_ended()
