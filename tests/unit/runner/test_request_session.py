from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from penstock.api.trunk.v1 import trunk_pb2
from penstock.close_codes import EndCode
from penstock.truss.settings import PenstockSettings
from penstock_runner.model.loaded import LoadedModel
from penstock_runner.predict.streaming import ResponseCutError
from penstock_runner.sessions import Sessions
from penstock_runner.slots import Slots
from penstock_testing.client_side import DEPLOYMENT_ID, ClientSide, MemoryTrunk, pass_time, settle
from penstock_testing.virtual_time import run_virtual

CLEANUP_S = 10.0


class Replica:
    """Sessions with an app, on one trunk."""

    def __init__(self, app: ASGIApp | None) -> None:
        self.slots = Slots(2)
        settings = PenstockSettings(cleanup_grace_s=CLEANUP_S)
        self.sessions = Sessions(DEPLOYMENT_ID, self.slots, settings, lambda: None)
        self.sessions.set_model(LoadedModel(object(), None, Path(__file__)), app)
        self.trunk = MemoryTrunk(self.sessions.open)

    def client(self) -> ClientSide:
        request = trunk_pb2.OpenStream(
            stream_id="s1",
            deployment_id=DEPLOYMENT_ID,
            transport=trunk_pb2.TRANSPORT_HTTP,
            model_path=b"/x",
            body=b"in",
        )
        return self.trunk.open(request=request)


async def respond(send: Send, body: bytes = b"out", *, more: bool = False) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body, "more_body": more})


def ended(
    app: ASGIApp, act: Callable[[ClientSide], None] = lambda _: None
) -> tuple[EndCode | None, list[Any], ClientSide]:
    """How a request ends, and what was logged."""

    async def main() -> tuple[EndCode | None, list[Any], ClientSide]:
        replica = Replica(app)
        with structlog.testing.capture_logs() as logs:
            client = replica.client()
            assert client.is_accepted
            await settle()
            act(client)
            await settle()
            replica.trunk.pump()
        assert replica.slots.active == 0
        return (client.closing.code if client.closing else None), logs, client

    return run_virtual(main())


def test_a_request_has_its_slot_until_its_app_has_returned() -> None:
    async def main() -> None:
        go = asyncio.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            assert (scope["type"], scope["path"]) == ("http", "/x")
            assert (await receive())["body"] == b"in"
            await respond(send)
            await go.wait()

        replica = Replica(app)
        client = replica.client()
        await settle()
        assert client.closing is not None and client.closing.code is EndCode.COMPLETED
        assert replica.slots.active == 1, "a task behind the response still runs"
        go.set()
        await settle()
        assert replica.slots.active == 0

    run_virtual(main())


def test_a_full_replica_refuses() -> None:
    async def main() -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await asyncio.Event().wait()

        replica = Replica(app)
        clients = [replica.client() for _ in range(3)]
        assert [client.is_accepted for client in clients] == [True, True, False]
        assert clients[2].rejected is not None and clients[2].rejected.code == EndCode.REPLICA_FULL
        for session in list(replica.sessions._sessions):
            session.end(EndCode.REPLICA_DRAINING)
        await settle()

    run_virtual(main())


def test_a_model_without_an_app_takes_no_requests() -> None:
    async def main() -> None:
        replica = Replica(None)
        client = replica.client()
        assert client.rejected is not None and client.rejected.http_status == 501
        assert replica.slots.active == 0

    run_virtual(main())


async def _returns(scope: Scope, receive: Receive, send: Send) -> None:
    pass


async def _half(scope: Scope, receive: Receive, send: Send) -> None:
    await respond(send, more=True)


async def _raises(scope: Scope, receive: Receive, send: Send) -> None:
    raise ValueError("a defect")


async def _cuts(scope: Scope, receive: Receive, send: Send) -> None:
    await respond(send, more=True)
    raise ResponseCutError("the model yields nothing")


async def _exits(scope: Scope, receive: Receive, send: Send) -> None:
    raise SystemExit(3)


@pytest.mark.parametrize(
    ("app", "code", "event"),
    [
        (_returns, EndCode.MODEL_ERROR, None),
        (_half, EndCode.MODEL_ERROR, None),
        (_raises, EndCode.INTERNAL, "request_failed"),
        (_exits, EndCode.INTERNAL, "request_failed"),
        (_cuts, EndCode.MODEL_ERROR, "response_cut"),
    ],
)
def test_an_app_that_does_not_complete_its_response_is_an_error(app: ASGIApp, code: EndCode, event: str | None) -> None:
    got, logs, _ = ended(app)
    assert got is code
    assert [entry["event"] for entry in logs] == ([event] if event else [])


def test_a_client_that_leaves_does_not_end_the_work() -> None:
    done: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        assert (await receive())["type"] == "http.disconnect"
        done.append("the work goes on")
        await respond(send)

    got, logs, _ = ended(app, ClientSide.vanish)
    assert (got, done, logs) == (EndCode.CLIENT_GONE, ["the work goes on"], [])


@pytest.mark.parametrize("obeys", [True, False])
def test_a_request_that_is_ended_is_cancelled_and_loses_its_slot_at_last(obeys: bool) -> None:
    async def main() -> None:
        stop = asyncio.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            while not stop.is_set():
                try:
                    await stop.wait()
                except asyncio.CancelledError:
                    if obeys:
                        raise

        replica = Replica(app)
        client = replica.client()
        await settle()
        (session,) = replica.sessions._sessions
        assert session.end(EndCode.REPLICA_DRAINING)
        assert not session.end(EndCode.REPLICA_DRAINING), "it has ended already"
        await settle()
        replica.trunk.pump()
        assert client.closing is not None and client.closing.code is EndCode.REPLICA_DRAINING
        assert replica.slots.active == (0 if obeys else 1)
        await pass_time(CLEANUP_S + 1)
        assert replica.slots.active == 0
        stop.set()
        await settle()
        assert replica.slots.active == 0, "given back once"

    run_virtual(main())


def test_a_lost_trunk_is_a_client_that_left() -> None:
    async def main() -> None:
        heard: list[str] = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await receive()
            heard.append((await receive())["type"])

        replica = Replica(app)
        replica.client()
        await settle()
        replica.trunk.lose()
        await settle()
        assert (heard, replica.slots.active) == (["http.disconnect"], 0)

    run_virtual(main())
