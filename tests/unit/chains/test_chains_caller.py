"""Calls from runner to runner over real connections: through real edges, to real runner servers."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from google.protobuf.duration_pb2 import Duration
from starlette.types import Receive, Scope, Send

from penstock.api.control.v1 import control_pb2
from penstock.chains.errors import ChainsRuntimeError
from penstock.chains.remote.caller import ChainCaller
from penstock.chains.remote.transport import Call
from penstock.close_codes import EndCode
from penstock.errors import CapacityError, PenstockError, UpstreamError
from penstock.trunk.limits import WINDOW_BYTES
from penstock_testing.chain_calls_kit import (
    HELLO,
    ChainCalls,
    Gate,
    answer,
    chain_calls,
    goes_through,
    peers_of,
    run_calls,
    until,
)

MIB = 1024 * 1024


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

    run_calls(main)


@pytest.mark.parametrize("size", [0, 1, 128 * 1024, 128 * 1024 + 1, 4 * MIB + 3])
def test_bodies_of_every_size_pass_both_ways(size: int) -> None:
    async def main() -> None:
        body = os.urandom(size)
        async with chain_calls() as calls:
            reply = await calls.transport.call(Call([body[:7], memoryview(body)[7:]]))

            assert bytes(reply.body) == body
            await calls.idle()

    run_calls(main)


def test_calls_share_one_trunk_and_all_are_answered() -> None:
    async def main() -> None:
        async with chain_calls(slots=200) as calls:
            replies = await asyncio.gather(*[calls.transport.call(Call([str(n).encode()])) for n in range(200)])

            assert [bytes(reply.body) for reply in replies] == [str(number).encode() for number in range(200)]
            assert len(calls.edge.server._endpoints) == 1
            await calls.idle()

    run_calls(main)


def test_an_error_of_the_callee_is_an_answer_like_any_other() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, b'{"error": "x"}', 422)

    async def main() -> None:
        async with chain_calls(app) as calls:
            reply = await calls.transport.call(HELLO)

            assert (reply.status, reply.body) == (422, b'{"error": "x"}')
            await calls.idle()

    run_calls(main)


def test_a_defect_of_the_callees_runner_is_a_typed_error() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("a defect")

    async def main() -> None:
        async with chain_calls(app) as calls:
            with pytest.raises(PenstockError) as caught:
                await calls.transport.call(HELLO)

            assert caught.value.code is EndCode.INTERNAL
            await calls.idle()

    run_calls(main)


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

    run_calls(main)


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

    run_calls(main)


def test_a_call_waits_while_the_callee_is_full() -> None:
    async def main() -> None:
        gate = Gate()
        async with chain_calls(gate, slots=1) as calls:
            both = [asyncio.create_task(calls.transport.call(HELLO)) for _ in range(2)]
            await until(lambda: calls.edge.plane.waiting.has("callee-1") and gate.entered == 1, "one waits")
            gate.go.set()

            assert [reply.body for reply in await asyncio.gather(*both)] == [b"done", b"done"]
            await calls.idle()

    run_calls(main)


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

    run_calls(main)


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

    run_calls(main)


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

    run_calls(main)


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

    run_calls(main)


def test_leaving_a_stream_early_stops_the_callee() -> None:
    async def main() -> None:
        async with endless(b"x") as (calls, sent):
            async with calls.transport.stream(HELLO) as reply:
                await anext(reply.items())
            await until(lambda: bool(sent) and sent[-1] == -1, "the callee knows")
            await calls.idle()

    run_calls(main)


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

    run_calls(main)


def test_a_body_above_the_limit_of_the_callee_is_refused() -> None:
    async def main() -> None:
        settings = control_pb2.StreamSettings(message_bytes_max=MIB)
        async with chain_calls(settings=settings) as calls:
            with pytest.raises(PenstockError) as caught:
                await calls.transport.call(Call([b"x" * (2 * MIB)]))
            assert caught.value.code is EndCode.MESSAGE_TOO_BIG
            await calls.idle()

    run_calls(main)


def test_a_callee_that_does_not_begin_to_answer_in_time_is_given_up() -> None:
    async def main() -> None:
        gate = Gate()
        settings = control_pb2.StreamSettings(predict_timeout=Duration(nanos=50_000_000))
        async with chain_calls(gate, settings=settings) as calls:
            with pytest.raises(UpstreamError) as caught:
                await calls.transport.call(HELLO)
            assert caught.value.code is EndCode.REQUEST_TIMEOUT
            await calls.idle()

    run_calls(main)


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

    run_calls(main)
