"""Calls between runners over real connections in one process: a caller, edges with inner listeners, callees."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import WebSocket
from starlette.types import ASGIApp, Receive, Scope, Send

from penstock.api.control.v1 import control_pb2
from penstock.chains.remote.caller import ChainCaller
from penstock.chains.remote.runtime import Peer, Peers
from penstock.chains.remote.transport import Call
from penstock.truss.settings import PenstockSettings
from penstock_edge.inner_server import InnerServer
from penstock_edge.metrics import EdgeMetrics
from penstock_edge.plane import DataPlane
from penstock_runner.model.loaded import LoadedModel
from penstock_runner.predict.disconnect import EXTENSION
from penstock_runner.server import RunnerServer

LIMIT_S = 20.0
HELLO = Call([b"hello"], {"content-type": "application/json", "x-a": "ä"})
CALLEE = "callee-1"


async def until(condition: Callable[[], bool], what: str) -> None:
    """Lets the loop run until `condition` holds; fails with `what` after LIMIT_S."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + LIMIT_S
    while not condition():
        assert loop.time() < deadline, f"not within {LIMIT_S:g} s: {what}"
        await asyncio.sleep(0)


async def echo_app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers with the body of the request."""
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] != "http.request":  # the caller has left
            return
        body += message["body"]
        more = message["more_body"]
    await answer(send, bytes(body))


async def answer(send: Send, body: bytes, status: int = 200) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Gate:
    """A model whose requests wait until the test lets them go on."""

    def __init__(self) -> None:
        self.entered = 0
        self.cancelled = 0
        self.scopes: list[Scope] = []
        self.go = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.entered += 1
        self.scopes.append(scope)
        try:
            while (await receive())["more_body"]:
                pass
            going = asyncio.create_task(self.go.wait())
            scope["extensions"][EXTENSION].add_callback(going.cancel)
            await asyncio.wait({going})
            self.cancelled += going.cancelled()
        finally:
            await answer(send, b"done")


async def no_websocket(websocket: WebSocket) -> None:
    raise AssertionError("nobody opens one")


def run_calls(test: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(60):
            await test()

    asyncio.run(main())


async def goes_through(action: Coroutine[Any, Any, object]) -> bool:
    """Whether it ends soon; else it is cancelled. Loopback needs a hundredth of the time."""
    task = asyncio.create_task(action)
    await asyncio.wait({task}, timeout=0.3)
    task.cancel()
    return task.done()


class Edge:
    """The data plane of one edge, and its inner listener."""

    def __init__(self, name: str) -> None:
        self.plane = DataPlane(name, EdgeMetrics())
        self.server = InnerServer(self.plane)
        self.address = ""

    async def start(self) -> None:
        self.address = await self.server.start("127.0.0.1:0")

    def apply(
        self, replicas: dict[str, str], slots: int = 10, settings: control_pb2.StreamSettings | None = None
    ) -> None:
        """Routes to the replicas of CALLEE, by id and address."""
        self.plane.apply(
            control_pb2.Snapshot(
                epoch=1,
                version=self.plane.snapshot_version + 1,
                deployments=[
                    control_pb2.DeploymentRoute(
                        deployment_id=CALLEE,
                        name="chain.Callee",
                        kind=control_pb2.DEPLOYMENT_KIND_CHAIN,
                        environments=["production"],
                        settings=settings,
                    )
                ],
                replicas=[
                    control_pb2.ReplicaRoute(
                        replica_id=replica_id,
                        deployment_id=CALLEE,
                        address=address,
                        state=control_pb2.REPLICA_STATE_READY,
                        stream_capacity=slots,
                    )
                    for replica_id, address in replicas.items()
                ],
            )
        )

    async def stop(self) -> None:
        await self.server.stop()
        await self.plane.trunks.stop()


class ChainCalls:
    """What runs. Make it with `chain_calls`."""

    def __init__(
        self,
        caller: ChainCaller,
        edges: list[Edge],
        callees: list[RunnerServer],
        replicas: dict[str, str],
        lost: list[str],
    ) -> None:
        self.caller = caller
        self.edges = edges
        self.callees = callees
        self.lost = lost
        """Addresses of edges that the caller has lost."""
        self.transport = caller.transport(CALLEE)
        self.replicas = replicas
        """Addresses of the callee's replicas, by id."""

    @property
    def edge(self) -> Edge:
        return self.edges[0]

    @property
    def callee(self) -> RunnerServer:
        return self.callees[0]

    def know(self, *edges: Edge) -> None:
        """The controller tells the caller of these edges."""
        self.caller.set_peers(peers_of([edge.address for edge in edges]))

    async def idle(self) -> None:
        """Nothing is left of any call, on any side."""
        await until(lambda: all(callee.active_streams == 0 for callee in self.callees), "the callees hold no slot")
        for edge in self.edges:
            await until(lambda edge=edge: not edge.server.streams, "the edge relays nothing")  # type: ignore[misc]  # the default binds it
            await until(lambda edge=edge: edge.plane.active_streams == 0, "the edge counts no stream")  # type: ignore[misc]  # as above


def peers_of(addresses: list[str]) -> Peers:
    callee = Peer(chainlet="Callee", deployment_id=CALLEE, name="chain.Callee")
    return Peers(
        chain="chain",
        chain_id="chain-1",
        chainlets={"Callee": callee},
        edge_addresses=tuple(addresses),
        http_address="",
    )


@asynccontextmanager
async def chain_calls(
    app: ASGIApp = echo_app,
    handler: Callable[[WebSocket], Awaitable[None]] = no_websocket,
    *,
    slots: int = 10,
    edges: int = 1,
    callees: int = 1,
    settings: control_pb2.StreamSettings | None = None,
) -> AsyncIterator[ChainCalls]:
    """Runs a caller, edges, and replicas of one chainlet.

    Args:
        app: answers requests.
        handler: answers conversations.
        slots: of each replica.
        settings: how the edges treat the streams.
    """
    async with AsyncExitStack() as stack:
        replicas: dict[str, str] = {}
        servers = []
        for number in range(callees):
            server = RunnerServer(
                replica_id=f"r{number}",
                deployment_id=CALLEE,
                settings=PenstockSettings(max_concurrency=slots, disconnect_grace_s=0.01),
                on_change=lambda: None,
            )
            replicas[f"r{number}"] = await server.start("127.0.0.1:0")
            server.set_model(LoadedModel(object(), handler, Path(__file__)), app)
            stack.push_async_callback(server.stop, 0)
            servers.append(server)
        made = []
        for number in range(edges):
            edge = Edge(f"edge-{number}")
            await edge.start()
            edge.apply(replicas, slots, settings)
            stack.push_async_callback(edge.stop)
            made.append(edge)
        lost: list[str] = []
        caller = ChainCaller("caller-1", on_lost=lambda address, _detail, _streams: lost.append(address))
        stack.push_async_callback(caller.stop)
        calls = ChainCalls(caller, made, servers, replicas, lost)
        calls.know(*made)
        yield calls
