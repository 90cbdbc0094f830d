"""Edges and clients in virtual time: the production data plane, trunks, session with the controller, and gRPC streams.

Simulated is the connection of the client: it sends numbered messages, and the model's answers must come back in order.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Any, cast

import grpc
import grpc.aio

from penstock.api.inference.v1 import inference_pb2
from penstock.api.trunk.v1 import trunk_pb2
from penstock.close_codes import EndCode, end
from penstock.placement import Placement
from penstock.trunk.stream import Closing, StreamSink, TrunkStream
from penstock_edge.grpc_stream import GrpcStream
from penstock_edge.metrics import EdgeMetrics
from penstock_edge.plane import DataPlane
from penstock_edge.routing import Deployment
from penstock_edge.watch import ControllerSession
from penstock_testing.simulated_network import Network
from penstock_testing.simulated_node import Node
from penstock_testing.simulated_runner import pause


class Phase(Enum):
    """Where a client's stream is."""

    WAITING = "waiting"
    OPEN = "open"
    REFUSED = "refused"
    ENDED = "ended"


class Leaving(Enum):
    """How a client ends its stream."""

    CLOSE = "close"
    HALF_CLOSE = "half-close"
    VANISH = "vanish"


class _RefusedError(Exception):
    """The call ended with a status."""


class SimulatedClient:
    """One client and its stream.

    Args:
        hold_s: time after which it leaves; None: it stays until told.
        on_end: called once, when the stream is over or refused.
    """

    def __init__(
        self,
        edge: SimulatedEdge,
        deployment: Deployment,
        hold_s: float | None,
        on_end: Callable[[SimulatedClient], None],
    ) -> None:
        self.edge = edge
        self.deployment_id = deployment.id
        self.phase = Phase.WAITING
        self.replica_id = ""
        self.asked_at = edge.loop.time()
        self.opened_at: float | None = None
        self.ended_at: float | None = None
        self.refusal: EndCode | None = None
        self.closing: Closing | None = None
        """What the edge was told by the model's side."""
        self.is_leaving = False
        self.sent = 0
        self.received = 0
        self.is_out_of_order = False
        self._hold_s = hold_s
        self._on_end = on_end
        self._requests: deque[Any] = deque()
        self._has_request = asyncio.Event()
        self._stream = _Stream(self, edge.plane, deployment)
        self._task = edge.node.spawn(self._run(), "client")
        if edge.random.random() < 0.1 and hold_s is not None:
            edge.loop.call_later(edge.random.uniform(0.0, 5.0), self._lose_patience)

    async def _run(self) -> None:
        try:
            await self._stream.run()
        except _RefusedError:
            pass
        finally:
            if self.phase is not Phase.REFUSED:
                self.phase = Phase.ENDED
            self.ended_at = self.edge.loop.time()
            self._on_end(self)

    def _lose_patience(self) -> None:
        if self.phase is Phase.WAITING:
            self.leave(Leaving.VANISH)

    def leave(self, how: Leaving) -> None:
        """Ends the stream, or the wait for it."""
        if self.is_leaving or self.phase in (Phase.ENDED, Phase.REFUSED):
            return
        self.is_leaving = True
        if how is Leaving.VANISH or self.phase is Phase.WAITING:
            self._task.cancel()
        elif how is Leaving.CLOSE:
            self._put(inference_pb2.StreamRequest(close=inference_pb2.Close(code=1000)))
        else:
            self._put(grpc.aio.EOF)

    # What the edge's stream calls.

    def opened(self, replica_id: str) -> None:
        self.phase = Phase.OPEN
        self.replica_id = replica_id
        self.opened_at = self.edge.loop.time()
        self._talk()
        if self._hold_s is not None:
            how = self.edge.random.choice(list(Leaving))
            self.edge.loop.call_later(self._hold_s, self.leave, how)

    def refused(self, code: EndCode) -> None:
        self.phase = Phase.REFUSED
        self.refusal = code

    def _talk(self) -> None:
        if self.phase is Phase.OPEN and not self.is_leaving:
            self.sent += 1
            message = inference_pb2.Message(binary=self.sent.to_bytes(4, "big"))
            self._put(inference_pb2.StreamRequest(message=message))
            self.edge.loop.call_later(self.edge.random.uniform(2.0, 10.0), self._talk)

    def _put(self, request: Any) -> None:
        self._requests.append(request)
        self._has_request.set()

    # What a context of grpc.aio offers.

    async def read(self) -> Any:
        while not self._requests:
            self._has_request.clear()
            await self._has_request.wait()
        return self._requests.popleft()

    async def write(self, response: inference_pb2.StreamResponse) -> None:
        if response.WhichOneof("kind") == "message":
            self.received += 1
            if int.from_bytes(response.message.binary, "big") != self.received:
                self.is_out_of_order = True

    async def send_initial_metadata(self, metadata: object) -> None:
        pass

    async def abort_with_status(self, status: object) -> None:
        raise _RefusedError

    def invocation_metadata(self) -> tuple[()]:
        return ()

    def peer(self) -> str:
        return "ipv4:10.0.0.1:1"


class _Stream(GrpcStream):
    """Production's stream, with its client told what it is told."""

    def __init__(self, client: SimulatedClient, plane: DataPlane, deployment: Deployment) -> None:
        super().__init__(plane, deployment, cast("grpc.aio.ServicerContext[Any, Any]", client))
        self._client = client

    def stream_opened(self, stream: TrunkStream, accept: trunk_pb2.AcceptStream, replica_id: str) -> StreamSink:
        sink = super().stream_opened(stream, accept, replica_id)
        self._client.opened(replica_id)
        return sink

    def stream_refused(self, reject: trunk_pb2.RejectStream) -> None:
        self._client.refused(end(reject.code).code)
        super().stream_refused(reject)

    def on_close(self, closing: Closing) -> None:
        self._client.closing = closing
        super().on_close(closing)


class SimulatedEdge:
    """One edge process."""

    def __init__(self, network: Network, seeded: random.Random, edge_id: str) -> None:
        self.network = network
        self.loop = network.loop
        self.random = seeded
        self.edge_id = edge_id
        self.node = Node(edge_id)
        self.clients: dict[SimulatedClient, None] = {}
        """Those that wait or have a stream."""
        self.plane: DataPlane
        self.is_ready = False
        self.newest_epoch = 0
        self.node.spawn(self._run(), edge_id)

    async def _run(self) -> None:
        self.plane = DataPlane(self.edge_id, EdgeMetrics())
        self.plane.placement = Placement(self.random.randrange)
        self.is_ready = True
        await ControllerSession(self.plane, "controller:1", f"{self.edge_id}:80", "").run()

    @property
    def is_alive(self) -> bool:
        return self.node.is_alive

    def kill(self) -> None:
        self.network.kill(self.node)

    def deployment(self, name: str, deployment_id: str | None = None) -> Deployment | None:
        """Finds what a client asks for, by the newest snapshot."""
        return self.plane.table.by_name(name, deployment_id=deployment_id) if self.is_ready else None

    def open(
        self, deployment: Deployment, hold_s: float | None, on_end: Callable[[SimulatedClient], None]
    ) -> SimulatedClient:
        """A client asks for a stream."""

        def ended(client: SimulatedClient) -> None:
            self.clients.pop(client, None)
            on_end(client)

        client = SimulatedClient(self, deployment, hold_s, ended)
        self.clients[client] = None
        return client


async def until(condition: Callable[[], bool], timeout_s: float, step_s: float = 0.25) -> bool:
    """Waits for `condition` in virtual time. Returns whether it held within `timeout_s`."""
    loop = asyncio.get_running_loop()
    over_at = loop.time() + timeout_s
    while not condition():
        if loop.time() >= over_at:
            return False
        await pause(step_s)
    return True
