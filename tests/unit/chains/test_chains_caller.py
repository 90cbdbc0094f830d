"""Calls from runner to runner over real connections: through real edges, to real runner servers."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import WebSocket
from google.protobuf.duration_pb2 import Duration
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from penstock.api.control.v1 import control_pb2
from penstock.chains.errors import ChainsRuntimeError
from penstock.chains.remote import caller as caller_module
from penstock.chains.remote.caller import ChainCaller
from penstock.chains.remote.transport import Call
from penstock.close_codes import EndCode
from penstock.errors import CapacityError, NotFoundError, PenstockError, UpstreamError
from penstock.trunk.limits import WINDOW_BYTES
from penstock_runner.predict.disconnect import EXTENSION
from penstock_testing.chain_calls_kit import ChainCalls, answer, chain_calls, peers_of, until

MIB = 1024 * 1024
HELLO = Call([b"hello"], {"content-type": "application/json", "x-a": "ä"})


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(60):
            await test()

    asyncio.run(main())


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


def test_a_call_returns_what_the_callee_answers() -> None:
    async def main() -> None:
        gate = Gate()
        gate.go.set()
        async with chain_calls(gate) as calls:
            reply = await calls.transport.call(HELLO)

            assert (reply.status, reply.body) == (200, b"done")
            assert reply.headers == {"content-type": "application/json", "content-length": "4"}
            scope = gate.scopes[0]
            assert (scope["method"], scope["path"]) == ("POST", "/v1/models/model:predict")
            assert scope["headers"] == [(b"content-type", b"application/json"), (b"x-a", "ä".encode("latin-1"))]
            await calls.idle()

    run(main)


@pytest.mark.parametrize("size", [0, 1, 128 * 1024, 128 * 1024 + 1, 4 * MIB + 3])
def test_bodies_of_every_size_pass_both_ways(size: int) -> None:
    async def main() -> None:
        body = os.urandom(size)
        async with chain_calls() as calls:
            reply = await calls.transport.call(Call([body[:7], memoryview(body)[7:]]))

            assert bytes(reply.body) == body
            await calls.idle()

    run(main)


def test_calls_share_one_trunk_and_all_are_answered() -> None:
    async def main() -> None:
        async with chain_calls(slots=200) as calls:
            replies = await asyncio.gather(*[calls.transport.call(Call([str(n).encode()])) for n in range(200)])

            assert [bytes(reply.body) for reply in replies] == [str(number).encode() for number in range(200)]
            assert len(calls.edge.server._endpoints) == 1
            await calls.idle()

    run(main)


def test_an_error_of_the_callee_is_an_answer_like_any_other() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, b'{"error": "x"}', 422)

    async def main() -> None:
        async with chain_calls(app) as calls:
            reply = await calls.transport.call(HELLO)

            assert (reply.status, reply.body) == (422, b'{"error": "x"}')
            await calls.idle()

    run(main)


def test_a_defect_of_the_callees_runner_is_a_typed_error() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("a defect")

    async def main() -> None:
        async with chain_calls(app) as calls:
            with pytest.raises(PenstockError) as caught:
                await calls.transport.call(HELLO)

            assert caught.value.code is EndCode.INTERNAL
            await calls.idle()

    run(main)


def test_a_cancelled_call_is_cancelled_in_the_callee_at_once() -> None:
    async def main() -> None:
        gate = Gate()
        async with chain_calls(gate) as calls:
            calling = asyncio.create_task(calls.transport.call(HELLO))
            await until(lambda: gate.entered == 1, "the callee works")
            loop = asyncio.get_running_loop()
            cancelled_at = loop.time()

            calling.cancel()

            await until(lambda: gate.cancelled == 1, "the callee knows")
            assert loop.time() - cancelled_at < 0.2
            with pytest.raises(asyncio.CancelledError):
                await calling
            await calls.idle()

    run(main)


def test_a_call_that_is_cancelled_while_it_waits_for_a_slot_leaves_the_line() -> None:
    async def main() -> None:
        gate = Gate()
        async with chain_calls(gate, slots=1) as calls:
            first = asyncio.create_task(calls.transport.call(HELLO))
            await until(lambda: gate.entered == 1, "the only slot is taken")
            second = asyncio.create_task(calls.transport.call(HELLO))
            await until(lambda: calls.edge.plane.waiting.has("callee-1"), "the second one waits")

            second.cancel()

            await until(lambda: not calls.edge.plane.waiting.has("callee-1"), "it waits no more")
            gate.go.set()
            assert (await first).body == b"done"
            assert gate.entered == 1
            await calls.idle()

    run(main)


def test_a_call_waits_while_the_callee_is_full() -> None:
    async def main() -> None:
        gate = Gate()
        async with chain_calls(gate, slots=1) as calls:
            both = [asyncio.create_task(calls.transport.call(HELLO)) for _ in range(2)]
            await until(lambda: calls.edge.plane.waiting.has("callee-1") and gate.entered == 1, "one waits")
            gate.go.set()

            assert [reply.body for reply in await asyncio.gather(*both)] == [b"done", b"done"]
            await calls.idle()

    run(main)


def test_a_call_that_may_not_wait_is_refused_with_the_cause() -> None:
    async def main() -> None:
        gate = Gate()
        settings = control_pb2.StreamSettings(queue_timeout=Duration())
        async with chain_calls(gate, slots=1, settings=settings) as calls:
            first = asyncio.create_task(calls.transport.call(HELLO))
            await until(lambda: gate.entered == 1, "the only slot is taken")

            with pytest.raises(CapacityError) as caught:
                await calls.transport.call(HELLO)

            assert (caught.value.code, caught.value.retryable) == (EndCode.REPLICA_FULL, True)
            assert caught.value.retry_after == 1.0
            gate.go.set()
            await first
            await calls.idle()

    run(main)


def test_the_end_of_the_callees_replica_is_a_typed_error_and_the_next_call_finds_another() -> None:
    async def main() -> None:
        gate = Gate()
        async with chain_calls(gate, callees=2) as calls:
            calling = asyncio.create_task(calls.transport.call(HELLO))
            await until(lambda: gate.entered == 1, "a replica works")
            victim = next(callee for callee in calls.callees if callee.active_streams)
            assert victim._server is not None
            await victim._server.stop(0)

            with pytest.raises(UpstreamError) as caught:
                await calling
            assert (caught.value.code, caught.value.retryable) == (EndCode.REPLICA_LOST, True)
            gate.go.set()
            assert (await calls.transport.call(HELLO)).body == b"done"

    run(main)


def test_the_end_of_the_edge_is_a_typed_error_and_the_next_call_goes_through_another() -> None:
    async def main() -> None:
        gate = Gate()
        async with chain_calls(gate, edges=2) as calls:
            calling = asyncio.create_task(calls.transport.call(HELLO))
            await until(lambda: gate.entered == 1, "the callee works")
            victim = next(edge for edge in calls.edges if edge.server.streams)
            assert victim.server._server is not None
            await victim.server._server.stop(0)

            with pytest.raises(UpstreamError) as caught:
                await calling
            assert caught.value.code is EndCode.REPLICA_LOST
            assert calls.lost == [victim.address]
            gate.go.set()
            assert (await calls.transport.call(HELLO)).body == b"done"

    run(main)


def test_a_draining_edge_is_left_and_what_runs_there_goes_on() -> None:
    async def main() -> None:
        gate = Gate()
        async with chain_calls(gate, edges=2) as calls:
            first = asyncio.create_task(calls.transport.call(HELLO))
            await until(lambda: gate.entered == 1, "the callee works")
            drained = next(edge for edge in calls.edges if edge.server.streams)
            other = next(edge for edge in calls.edges if edge is not drained)
            drained.plane.is_draining = True
            drained.server.begin_drain()
            await until(lambda: bool(calls.caller._link._leaving), "the caller knows")
            gate.go.set()

            assert (await calls.transport.call(HELLO)).body == b"done"
            assert other.server._endpoints
            assert (await first).body == b"done"
            await until(lambda: not drained.server._endpoints, "the empty trunk is ended")
            assert calls.lost == []
            await calls.idle()

    run(main)


def test_the_last_edge_is_used_to_the_end_of_its_drain_and_then_refuses() -> None:
    async def main() -> None:
        async with chain_calls() as calls:
            await calls.transport.call(HELLO)
            calls.edge.plane.is_draining = True
            calls.edge.server.begin_drain()
            await until(lambda: bool(calls.caller._link._leaving), "the caller knows")
            assert (await calls.transport.call(HELLO)).status == 200

            calls.edge.server.close_admission()
            with pytest.raises(PenstockError) as caught:
                await calls.transport.call(HELLO)

            assert (caught.value.code, caught.value.retryable) == (EndCode.EDGE_DRAINING, True)

    run(main)


def test_an_edge_that_refuses_because_it_drains_is_left_for_another() -> None:
    async def main() -> None:
        async with chain_calls(edges=2) as calls:
            calls.caller._link._choose = lambda addresses: addresses[0]
            calls.edges[0].server.close_admission()

            assert (await calls.transport.call(HELLO)).status == 200
            assert calls.edges[1].server._endpoints

    run(main)


def test_a_deployment_that_the_edge_does_not_know_yet_is_waited_for() -> None:
    async def main() -> None:
        async with chain_calls() as calls:
            calls.edge.plane.apply(control_pb2.Snapshot(epoch=1, version=50))
            calling = asyncio.create_task(calls.transport.call(HELLO))
            refused = calls.edge.plane.metrics.refused.labels("", "NOT_FOUND", "404")
            await until(lambda: refused._value.get() > 0, "the edge has refused")

            calls.edge.apply(calls.replicas)

            assert (await calling).status == 200

    run(main)


def test_a_deployment_that_nobody_knows_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller_module, "NOT_FOUND_S", 0.0)

    async def main() -> None:
        async with chain_calls() as calls:
            with pytest.raises(NotFoundError):
                await calls.caller.transport("nobody").call(HELLO)

    run(main)


def test_a_streams_items_come_as_they_were_made_while_the_callee_goes_on() -> None:
    items = [b"a", b"bc", b"x" * (600 * 1024), b"", b"d"]
    go = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"X-Kind", b"words")]})
        for item in items:
            await send({"type": "http.response.body", "body": item, "more_body": True})
        await go.wait()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def main() -> None:
        async with chain_calls(app) as calls:
            async with calls.transport.stream(HELLO) as reply:
                assert (reply.status, reply.headers) == (200, {"x-kind": "words"})
                seen = []
                async for item in reply.items():
                    seen.append(item)
                    if len(seen) == 4:
                        go.set()
                assert seen == [item for item in items if item]
            await calls.idle()

    run(main)


async def goes_through(action: Coroutine[Any, Any, object]) -> bool:
    """Whether it ends soon; else it is cancelled. Loopback needs a hundredth of the time."""
    task = asyncio.create_task(action)
    await asyncio.wait({task}, timeout=0.3)
    task.cancel()
    return task.done()


@asynccontextmanager
async def endless(chunk: bytes) -> AsyncIterator[tuple[ChainCalls, list[int]]]:
    """A callee that streams without end; notes what it has sent, and a -1 when it was told to stop."""
    sent: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            while True:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
                sent.append(len(chunk))
        except OSError:
            sent.append(-1)

    async with chain_calls(app) as calls:
        yield calls, sent


def test_a_slow_reader_stops_the_callee() -> None:
    async def main() -> None:
        async with endless(b"x" * 10_000) as (calls, sent), calls.transport.stream(HELLO) as reply:
            items = reply.items()
            await anext(items)

            async def one_more(seen: int) -> None:
                await until(lambda: len(sent) > seen, "the callee goes on")

            while await goes_through(one_more(len(sent))):
                pass
            # A window on each of the two trunks.
            stopped_at = sum(sent)
            assert WINDOW_BYTES < stopped_at < 2 * WINDOW_BYTES + 64 * 1024

            for _ in range(200):
                await anext(items)
            await until(lambda: sum(sent) > stopped_at, "it goes on")

    run(main)


def test_leaving_a_stream_early_stops_the_callee() -> None:
    async def main() -> None:
        async with endless(b"x") as (calls, sent):
            async with calls.transport.stream(HELLO) as reply:
                await anext(reply.items())
            await until(lambda: bool(sent) and sent[-1] == -1, "the callee knows")
            await calls.idle()

    run(main)


def test_a_stream_that_breaks_raises_behind_what_has_come() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})

    async def main() -> None:
        async with chain_calls(app) as calls, calls.transport.stream(HELLO) as reply:
            items = reply.items()
            assert await anext(items) == b"a"
            with pytest.raises(PenstockError) as caught:
                await anext(items)
            assert caught.value.code is EndCode.MODEL_ERROR

    run(main)


async def shout(websocket: WebSocket) -> None:
    """Repeats every message twice, until an empty one comes."""
    assert websocket.headers["x-a"] == "1"
    while data := await websocket.receive_bytes():
        await websocket.send_bytes(data + data)


TALK = Call(headers={"x-a": "1"})


def test_a_conversation_carries_messages_of_every_size_both_ways() -> None:
    async def main() -> None:
        async with chain_calls(handler=shout) as calls:
            async with calls.transport.converse(TALK) as conversation:
                for size in (1, 300_000, 2 * MIB):
                    message = os.urandom(size)
                    await conversation.send(message)
                    assert await conversation.receive() == message * 2
                await conversation.send(b"")
                with pytest.raises(PenstockError) as caught:
                    await conversation.receive()
                assert (caught.value.code, caught.value.close_code) == (EndCode.COMPLETED, 1000)
                with pytest.raises(PenstockError):
                    await conversation.send(b"late")
            await calls.idle()

    run(main)


def test_a_callee_that_closes_well_has_completed() -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.send_bytes(b"last")
        await websocket.close(1000)

    async def main() -> None:
        async with chain_calls(handler=handler) as calls, calls.transport.converse(TALK) as conversation:
            assert await conversation.receive() == b"last"
            with pytest.raises(PenstockError) as caught:
                await conversation.receive()
            assert caught.value.code is EndCode.COMPLETED

    run(main)


def test_a_callee_that_closes_with_a_code_of_its_own_is_told_apart() -> None:
    async def handler(websocket: WebSocket) -> None:
        await websocket.close(4001, "why")

    async def main() -> None:
        async with chain_calls(handler=handler) as calls, calls.transport.converse(TALK) as conversation:
            with pytest.raises(PenstockError) as caught:
                await conversation.receive()
            ended = caught.value
            assert (ended.code, ended.close_code, ended.reason) == (EndCode.MODEL_CLOSED, 4001, "why")

    run(main)


def test_leaving_a_conversation_cancels_the_callee_at_once() -> None:
    ended: list[int] = []

    async def handler(websocket: WebSocket) -> None:
        try:
            while True:
                await websocket.receive_bytes()
        except WebSocketDisconnect as left:
            ended.append(left.code)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with chain_calls(handler=handler) as calls:
            async with calls.transport.converse(TALK) as conversation:
                await conversation.send(b"a")
            left_at = loop.time()
            await until(lambda: ended == [1006], "the callee knows")
            assert loop.time() - left_at < 0.2
            await calls.idle()

    run(main)


def test_a_callee_that_takes_nothing_stops_the_sender_of_a_conversation() -> None:
    async def handler(websocket: WebSocket) -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        sent = 0
        async with chain_calls(handler=handler) as calls:
            async with calls.transport.converse(TALK) as conversation:
                while await goes_through(conversation.send(b"x" * 10_000)):
                    sent += 10_000
            assert WINDOW_BYTES < sent < 2 * WINDOW_BYTES + 64 * 1024
            await calls.idle()

    run(main)


def test_a_conversation_waits_for_a_slot_too() -> None:
    async def main() -> None:
        async with chain_calls(handler=shout, slots=1) as calls:
            async with calls.transport.converse(TALK):
                second = calls.transport.converse(TALK)
                entering = asyncio.create_task(second.__aenter__())
                await until(lambda: calls.edge.plane.waiting.has("callee-1"), "the second one waits")
                assert not entering.done()
            conversation = await entering
            await conversation.send(b"ab")
            assert await conversation.receive() == b"abab"
            await second.__aexit__(None, None, None)
            await calls.idle()

    run(main)


def test_messages_above_the_limit_of_the_callee_end_the_conversation() -> None:
    async def main() -> None:
        settings = control_pb2.StreamSettings(message_bytes_max=1000)
        async with chain_calls(handler=shout, settings=settings) as calls:
            async with calls.transport.converse(TALK) as conversation:
                await conversation.send(b"x" * 1001)
                with pytest.raises(PenstockError) as caught:
                    await conversation.receive()
                assert caught.value.code is EndCode.MESSAGE_TOO_BIG
            await calls.idle()

    run(main)


def test_a_body_above_the_limit_of_the_callee_is_refused() -> None:
    async def main() -> None:
        settings = control_pb2.StreamSettings(message_bytes_max=MIB)
        async with chain_calls(settings=settings) as calls:
            with pytest.raises(PenstockError) as caught:
                await calls.transport.call(Call([b"x" * (2 * MIB)]))
            assert caught.value.code is EndCode.MESSAGE_TOO_BIG
            await calls.idle()

    run(main)


def test_a_callee_that_does_not_begin_to_answer_in_time_is_given_up() -> None:
    async def main() -> None:
        gate = Gate()
        settings = control_pb2.StreamSettings(predict_timeout=Duration(nanos=50_000_000))
        async with chain_calls(gate, settings=settings) as calls:
            with pytest.raises(UpstreamError) as caught:
                await calls.transport.call(HELLO)
            assert caught.value.code is EndCode.REQUEST_TIMEOUT
            await calls.idle()

    run(main)


def test_peers_are_waited_for_on_other_threads_and_never_on_the_loops() -> None:
    async def main() -> None:
        caller = ChainCaller("r1")
        with pytest.raises(ChainsRuntimeError, match="where the other chainlets"):
            caller.peers(60.0)
        with pytest.raises(ChainsRuntimeError):
            await asyncio.to_thread(caller.peers, 0.01)
        waiting = asyncio.create_task(asyncio.to_thread(caller.peers, 20.0))
        told = peers_of(["127.0.0.1:1"])
        threading.Thread(target=caller.set_peers, args=(told,)).start()

        assert await waiting is told
        assert caller.peers(0.0) is told
        await caller.stop()

    run(main)
