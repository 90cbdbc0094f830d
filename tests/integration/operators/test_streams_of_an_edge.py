"""A controller lists and ends the streams of real clients, over the session of a real edge."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from penstock.api.inference.v1 import inference_pb2_grpc
from penstock_testing.asking_controller import AskingController
from penstock_testing.figures import show
from penstock_testing.grpc_edge import failure, text
from penstock_testing.prover import Prover, ordered, run, write_prover
from penstock_testing.static_platform import SETTLE_SECONDS, StaticPlatform, static_platform, wait_until

CAPACITY = 400
STREAMS = 300


@dataclass(frozen=True, slots=True)
class Place:
    """What the tests of this module share."""

    platform: StaticPlatform
    controller: AskingController
    prover: Prover

    @property
    def url(self) -> str:
        return f"ws://{self.platform.http}{self.platform.websocket_path}"


@pytest.fixture(scope="module")
def shared_place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("operators")
    prover = write_prover(folder, autoscaling={"max_concurrency": CAPACITY})
    with AskingController() as controller:

        def follow_controller(runner: str) -> str:
            controller.route(prover.name, runner, capacity=CAPACITY)
            return f"--controller {controller.address}"

        with static_platform(prover.model_dir, folder, model=prover.name, edge_source=follow_controller) as platform:
            yield Place(platform, controller, prover)


@pytest.fixture
def place(shared_place: Place) -> Iterator[Place]:
    """The platform; the test fails when it leaves a stream, a traceback, or a session that broke."""
    shared_place.platform.new_log_lines()
    yield shared_place
    assert len(set(shared_place.controller.edge_ids)) == len(shared_place.controller.edge_ids) == 1
    shared_place.platform.assert_sound()
    assert shared_place.controller.list_streams().matching == 0


@asynccontextmanager
async def call(place: Place, case: str) -> AsyncIterator[Any]:
    """A gRPC stream whose model echoes."""
    async with grpc.aio.insecure_channel(place.platform.grpc) as channel:
        stub = inference_pb2_grpc.InferenceServiceStub(channel)
        opened = stub.Stream(metadata=(("penstock-model", place.prover.name),))
        await opened.write(text(json.dumps({"do": "echo", "case": case})))
        await opened.initial_metadata()
        yield opened


def local_ports(remote: str) -> set[int]:
    """Ports of this machine that are connected to `remote` on it."""
    # gRPC's sockets are of IPv6, with mapped addresses.
    tables = [Path(f"/proc/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6")]
    connected = [line.split()[1:4] for table in tables for line in table]
    return {
        int(local.rpartition(":")[2], 16)
        for local, peer, state in connected
        if state == "01" and int(peer.rpartition(":")[2], 16) == int(remote.rpartition(":")[2])
    }


async def end_of(client: ClientConnection) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as caught:
        await client.recv()
    assert caught.value.rcvd is not None, "the connection ended without a close frame"
    return caught.value.rcvd.code, caught.value.rcvd.reason


async def echo(client: ClientConnection, message: str | bytes) -> None:
    await client.send(message)
    assert await client.recv() == message


async def echo_call(opened: Any, message: str) -> None:
    await opened.write(text(message))
    assert (await opened.read()).message.text == message


def test_streams_are_listed_with_their_client_their_age_and_what_they_have_carried(place: Place) -> None:
    async def scenario() -> None:
        started_at = time.monotonic()
        async with ordered(place.url, "echo", "listed") as client:
            await echo(client, "hello")
            opened_at = time.monotonic()
            async with call(place, "listed") as opened:
                await echo_call(opened, "hello, gRPC")
                await echo(client, bytes(300_000))
                asked_at = time.monotonic()
                answer = await asyncio.to_thread(place.controller.list_streams)
                again = await asyncio.to_thread(place.controller.list_streams, limit=1)
                of_others = await asyncio.to_thread(place.controller.list_streams, deployment_id="nobody")
                ports = local_ports(place.platform.grpc)

        websocket, over_grpc = answer.streams
        order = len(json.dumps({"do": "echo", "case": "listed"}))
        assert (answer.matching, of_others.matching, len(of_others.streams)) == (2, 0, 0)
        assert [view.stream_id for view in again.streams] == [websocket.stream_id], "the oldest first"
        for view in answer.streams:
            assert (view.deployment_id, view.replica_id) == (place.prover.name, "r1")
            assert view.edge_id == place.controller.edge_ids[0]
            assert 0 <= view.silent_for.ToNanoseconds() <= view.age.ToNanoseconds()
        assert websocket.transport == "websocket"
        assert websocket.client == "{}:{}".format(*client.local_address[:2])
        assert asked_at - opened_at < websocket.age.ToNanoseconds() / 1e9 < time.monotonic() - started_at
        assert (websocket.bytes_in, websocket.bytes_out) == (order + 5 + 300_000, 5 + 300_000)
        assert (websocket.messages_in, websocket.messages_out) == (3, 2)
        assert over_grpc.transport == "grpc"
        assert over_grpc.client in {f"127.0.0.1:{port}" for port in ports}
        assert over_grpc.age.ToNanoseconds() / 1e9 < time.monotonic() - opened_at
        assert (over_grpc.bytes_in, over_grpc.bytes_out) == (order + 11, 11)
        assert (over_grpc.messages_in, over_grpc.messages_out) == (2, 1)

    run(scenario())


def test_an_operator_ends_streams_of_both_transports_and_no_other(place: Place) -> None:
    async def scenario() -> None:
        async with (
            ordered(place.url, "echo", "ended") as client,
            ordered(place.url, "hold", "held") as held,
            call(place, "ended over gRPC") as opened,
            ordered(place.url, "echo", "kept") as kept,
        ):
            assert await held.recv() == "holding"
            await echo(client, "before")
            await echo_call(opened, "before")
            await echo(kept, "before")
            views = (await asyncio.to_thread(place.controller.list_streams)).streams
            mine = "{}:{}".format(*kept.local_address[:2])
            doomed = [view.stream_id for view in views if view.client != mine]
            assert len(doomed) == len(views) - 1 == 3

            refused = await asyncio.to_thread(place.controller.end_streams, doomed, 1006)
            assert refused == [], "a code that may not be sent"
            await echo(client, "still there")
            told = await asyncio.to_thread(place.controller.end_streams, [*doomed, "no-such"], 4001, "maintenance")

            assert sorted(told) == sorted(doomed)
            assert await end_of(client) == (4001, "maintenance")
            assert await end_of(held) == (4001, "maintenance")
            last = (await opened.read()).close
            assert (last.code, last.reason) == (4001, "maintenance")
            status, message, detail = await failure(opened)
            assert (status, message) == (grpc.StatusCode.UNAVAILABLE, "maintenance")
            assert (detail.code, detail.close_code) == ("OPERATOR_CLOSED", 4001)
            await echo(kept, "after")
            left = await asyncio.to_thread(place.controller.list_streams)
            assert [view.client for view in left.streams] == [mine]

    run(scenario())

    for case in ("ended", "ended over gRPC"):
        (note,) = place.prover.wait_notes(case)
        assert (note["what"], note["code"], note["reason"]) == ("disconnect", 4001, "maintenance")
    assert [note["what"] for note in place.prover.wait_notes("held")] == ["cancelled"]
    log = "\n".join(place.platform.new_log_lines())
    assert log.count('"code": "OPERATOR_CLOSED"') == 3
    assert log.count('"event": "operator_close_refused"') == log.count('"event": "operator_closed_streams"') == 1


def test_hundreds_of_streams_are_listed_and_ended_while_another_goes_on(place: Place) -> None:
    async def scenario() -> None:
        async with ordered(place.url, "echo", "beside") as beside, AsyncExitStack() as stack:
            await echo(beside, "before")
            clients = [await stack.enter_async_context(ordered(place.url, "echo")) for _ in range(STREAMS)]
            await asyncio.gather(*(echo(client, "here") for client in clients))
            answer = await asyncio.to_thread(place.controller.list_streams, replica_id="r1", limit=10_000)
            assert (answer.matching, len(answer.streams)) == (STREAMS + 1, STREAMS + 1)
            ages = [view.age.ToNanoseconds() for view in answer.streams]
            assert ages == sorted(ages, reverse=True)

            started = time.monotonic()
            ids = [view.stream_id for view in answer.streams[1:]]
            told = await asyncio.to_thread(place.controller.end_streams, ids)
            show(f"{STREAMS} streams ended by one order", seconds=time.monotonic() - started)
            assert told == ids
            ends = {await end_of(client) for client in clients}
            assert ends == {(1012, "Closed by an operator; connect again.")}
            await echo(beside, "after")

    run(scenario())
    wait_until(lambda: place.platform.ongoing_streams() == 0, SETTLE_SECONDS, "every stream is over")
