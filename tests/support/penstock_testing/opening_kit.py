"""Openings of an edge, with clients that note their one answer and runners that a test answers for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from penstock.api.control.v1 import control_pb2
from penstock.api.trunk.v1 import trunk_pb2
from penstock.trunk.stream import NO_SINK, StreamSink, TrunkStream
from penstock_edge.opening import Opening
from penstock_edge.routing import Deployment
from penstock_testing.edge_kit import EdgeKit, ModelSide, duration
from penstock_testing.virtual_time import run_virtual

SETTINGS = control_pb2.StreamSettings(queue_timeout=duration(30), handshake_timeout=duration(10), queue_streams_max=3)
Replica = tuple[str, int, int]


class Client:
    """Owner of an opening; notes the one answer that it gets."""

    def __init__(self, kit: EdgeKit, *, is_by_id: bool = False) -> None:
        self._kit = kit
        self.opened: tuple[TrunkStream, str] | None = None
        self.refused: str | None = None
        deployment = kit.plane.table.by_id("echo-1") if is_by_id else kit.plane.table.by_name("echo")
        assert deployment is not None and deployment.id == "echo-1"
        self.deployment_id = deployment.id
        request = trunk_pb2.OpenStream(stream_id=kit.plane.next_stream_id(), deployment_id="echo-1")
        self.opening = Opening(kit.plane, deployment, request, self)
        self.answered_at: float | None = None
        self.retry_after_s = 0

    def stream_opened(self, stream: TrunkStream, accept: trunk_pb2.AcceptStream, replica_id: str) -> StreamSink:
        assert self.answered_at is None, "answered twice"
        self.opened, self.answered_at = (stream, replica_id), self._kit.plane.now()
        return NO_SINK

    def stream_refused(self, reject: trunk_pb2.RejectStream) -> None:
        assert self.answered_at is None, "answered twice"
        assert reject.retry_after_seconds >= 1
        self.refused, self.answered_at = reject.code, self._kit.plane.now()
        self.retry_after_s = reject.retry_after_seconds

    def deployment_changed(self, deployment: Deployment) -> None:
        self.deployment_id = deployment.id

    @property
    def replica(self) -> str | None:
        return self.opened[1] if self.opened is not None else None

    @property
    def is_answered(self) -> bool:
        return self.answered_at is not None


class OpeningKit:
    """A data plane with one deployment "echo-1". Replicas are (id, active, capacity)."""

    def __init__(self, *replicas: Replica, settings: control_pb2.StreamSettings = SETTINGS) -> None:
        self.edge = EdgeKit()
        self.plane = self.edge.plane
        self.settings = settings
        self.snapshot(*replicas)

    def snapshot(self, *replicas: Replica, promoted: str = "echo-1") -> None:
        self.edge.apply(*replicas, settings=self.settings, promoted=promoted)

    def client(
        self, *, is_by_id: bool = False, transport: trunk_pb2.Transport.ValueType = trunk_pb2.TRANSPORT_WEBSOCKET
    ) -> Client:
        client = Client(self.edge, is_by_id=is_by_id)
        client.opening.request.transport = transport
        client.opening.start()
        return client

    async def settle(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    def side(self, replica_id: str, index: int = -1) -> ModelSide:
        return self.edge.runners[replica_id].streams[index]

    async def until(self, seconds: float) -> None:
        """Lets the clock reach `seconds`."""
        reached = asyncio.Event()
        self.plane.loop.call_at(seconds, reached.set)
        await reached.wait()


def in_virtual_time(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    def run() -> None:
        async def main() -> None:
            await test()

        run_virtual(main())

    run.__name__ = test.__name__
    run.__doc__ = test.__doc__
    return run
