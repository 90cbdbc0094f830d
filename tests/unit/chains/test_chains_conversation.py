"""Conversations between chainlets, both ends, over a real trunk, edge and runner server in one process."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest

from penstock.chains.remote import conversation, trace
from penstock.chains.remote.conversation import converse
from penstock.chains.remote.frames import (
    END,
    ERROR,
    HEADER,
    error_frame,
    header_frame,
    item_frame,
    read_error,
    read_frame,
)
from penstock.chains.remote.rpc_errors import GenericRemoteException
from penstock.chains.remote.transport import Call
from penstock.close_codes import EndCode
from penstock.errors import PenstockError
from penstock_testing.chain_calls_kit import ChainCalls, chain_calls, echo_app, until
from penstock_testing.chainlet_serving import Serve

WORDS = """
def pause(time_s: float) -> asyncio.Future:
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    loop.call_later(time_s, over.set_result, None)
    return over

class Word(pydantic.BaseModel):
    text: str
    data: bytes = b""

class Talker(chains.ChainletBase):
    def __init__(self) -> None:
        self.taken = 0
        self.ended: list[str] = []
        self.trace = {}
        self.cleanup_s = 0.0

    async def run_remote(self, words: AsyncIterator[Word], suffix: str, most: int = 1000) -> AsyncIterator[Word]:
        from penstock.chains.remote import trace

        self.trace = dict(trace.current())
        try:
            async for word in words:
                self.taken += 1
                if word.text == "fail":
                    raise KeyError("that word")
                if word.text == "http":
                    raise fastapi.HTTPException(418, "no tea")
                if word.text == "lost":
                    raise asyncio.CancelledError
                if word.text == "wait":
                    await asyncio.Event().wait()
                if word.text == "slow":
                    await pause(0.01)
                yield Word(text=word.text + suffix, data=word.data)
                if self.taken == most:
                    return
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise
        finally:
            await pause(self.cleanup_s)
            self.ended.append("cleaned up")
"""


def on_a_loop(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(30):
                await test(*args, **kwargs)

        asyncio.run(bounded())

    return run


class Talk:
    """A caller and a callee that are connected."""

    def __init__(self, calls: ChainCalls, model: Any) -> None:
        self.calls = calls
        self.endpoint = model.endpoint.description
        self.chainlet = model._served.chainlet
        self.word = model.user.Word

    def words(self, *texts: str) -> list[Any]:
        return [self.word(text=text) for text in texts]

    def converse(self, words: object, **arguments: Any) -> AsyncGenerator[Any, None]:
        given = {"words": words, "suffix": "!", **arguments}
        return converse(self.calls.transport, trace.current(), self.endpoint, given, False, chainlet_name="Talker")


@asynccontextmanager
async def talking(serve: Serve, source: str = WORDS) -> AsyncIterator[Talk]:
    model = serve(source, "Talker")
    async with chain_calls(echo_app, model.websocket) as calls:
        talk = Talk(calls, model)
        yield talk
        await calls.idle()


async def all_of(items: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in items]


async def stands_still(count: Callable[[], int]) -> None:
    """Lets the loop run until `count` has not changed for a tenth of a second."""
    loop = asyncio.get_running_loop()
    seen, until_s = count(), loop.time() + 0.1
    while loop.time() < until_s:
        await asyncio.sleep(0)
        if count() != seen:
            seen, until_s = count(), loop.time() + 0.1


class Source:
    """An iterator of the caller's, which notes how far it is."""

    def __init__(self, items: list[Any], *, then: BaseException | None = None, waits: bool = False) -> None:
        self.items = items
        self.then = then
        self.waits = waits
        self.made = 0
        self.ended: list[str] = []

    async def __call__(self) -> AsyncIterator[Any]:
        try:
            for item in self.items:
                self.made += 1
                yield item
            if self.waits:
                await asyncio.Event().wait()
            if self.then is not None:
                raise self.then
        except asyncio.CancelledError:
            self.ended.append("cancelled")
            raise
        finally:
            self.ended.append("cleaned up")


@on_a_loop
async def test_items_go_both_ways_before_either_side_has_ended(serve: Serve) -> None:
    async with talking(serve) as talk:
        sent: asyncio.Queue[Any] = asyncio.Queue()

        async def words() -> AsyncIterator[Any]:
            while (word := await sent.get()) is not None:
                yield word

        async with aclosing(talk.converse(words())) as items:
            for text in ("a", "", "c"):
                sent.put_nowait(talk.word(text=text, data=b"\xff\x00"))
                answer = await anext(items)
                assert (answer.text, answer.data) == (f"{text}!", b"\xff\x00")
            sent.put_nowait(None)
            with pytest.raises(StopAsyncIteration):
                await anext(items)
        assert talk.chainlet.ended == ["cleaned up"]


@on_a_loop
async def test_the_ids_of_the_caller_reach_the_callee(serve: Serve) -> None:
    async with talking(serve) as talk:
        with trace.bound({"traceparent": "TRACE_ID", "x-baseten-request-id": "r1"}):
            [_ async for _ in talk.converse(Source([])())]

        assert talk.chainlet.trace == {"traceparent": "TRACE_ID", "x-baseten-request-id": "r1"}


@on_a_loop
async def test_a_callee_may_end_first(serve: Serve) -> None:
    source = Source([], waits=True)
    async with talking(serve) as talk:
        source.items = talk.words("a", "b", "c")

        got = [word.text async for word in talk.converse(source(), most=2)]

        assert got == ["a!", "b!"]
    assert source.ended[-1] == "cleaned up", "the caller's iterator was left open"


@on_a_loop
async def test_an_error_of_the_callee_is_raised_as_its_class(serve: Serve) -> None:
    async with talking(serve) as talk:
        items = talk.converse(Source(talk.words("a", "fail"), waits=True)())
        assert (await anext(items)).text == "a!"

        with pytest.raises(KeyError, match="Error calling dependency Chainlet `Talker`, HTTP status=500"):
            await anext(items)


@on_a_loop
async def test_the_status_of_an_error_is_kept(serve: Serve) -> None:
    from fastapi import HTTPException

    async with talking(serve) as talk:
        with pytest.raises(HTTPException) as raised:
            [_ async for _ in talk.converse(Source(talk.words("http"))())]

    assert raised.value.status_code == 418


@on_a_loop
async def test_an_error_of_the_iterator_ends_the_call_with_it(serve: Serve) -> None:
    may_fail = asyncio.Event()
    async with talking(serve) as talk:

        async def words() -> AsyncIterator[Any]:
            yield talk.word(text="a")
            yield talk.word(text="wait")
            await may_fail.wait()
            raise ZeroDivisionError("mine")

        items = talk.converse(words())
        assert (await anext(items)).text == "a!"
        asyncio.get_running_loop().call_soon(may_fail.set)

        with pytest.raises(ZeroDivisionError, match="mine"):
            await anext(items)

        await until(lambda: talk.chainlet.ended == ["cancelled", "cleaned up"], "the callee is cancelled")


@on_a_loop
async def test_an_item_of_the_wrong_type_ends_the_call(serve: Serve) -> None:
    async with talking(serve) as talk:
        with pytest.raises(ValueError, match="Word"):
            [_ async for _ in talk.converse(Source([5])())]


@on_a_loop
async def test_what_is_no_iterator_is_refused(serve: Serve) -> None:
    async with talking(serve) as talk:
        with pytest.raises(TypeError, match=r"`words` of Chainlet `Talker` must be an asynchronous iterator, got list"):
            await anext(talk.converse([]))


@pytest.mark.parametrize("how", ["break", "cancel"])
@on_a_loop
async def test_a_consumer_that_stops_cancels_the_callee_and_its_iterator(serve: Serve, how: str) -> None:
    source = Source([], waits=True)
    async with talking(serve) as talk:
        source.items = talk.words("a", "wait")
        taken_min = 1 if how == "break" else 2

        async def consume() -> None:
            async with aclosing(talk.converse(source())) as items:
                async for _ in items:
                    if how == "break":
                        break

        task = asyncio.create_task(consume())
        await until(lambda: talk.chainlet.taken >= taken_min, "the callee has begun")
        if how == "cancel":
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            await task

        assert source.ended[-1] == "cleaned up"
        await until(lambda: talk.chainlet.ended[-1:] == ["cleaned up"], "the callee is cancelled")
        assert not [task for task in asyncio.all_tasks() if "_Pump" in repr(task)], "a task was left behind"


@on_a_loop
async def test_a_gone_caller_cancels_at_once_whatever_is_queued(serve: Serve) -> None:
    """Items that wait in the callee's inbox must not keep it busy for a caller that has left."""
    async with talking(serve) as talk:
        talk.chainlet.cleanup_s = 0.05  # longer than the grace that others have to take notice
        source = Source(talk.words(*["slow"] * 200), waits=True)
        task = asyncio.create_task(all_of(talk.converse(source())))
        await until(lambda: source.made == 200 and talk.chainlet.taken > 1, "items wait in the inbox")
        loop = asyncio.get_running_loop()
        started = loop.time()
        task.cancel()
        await until(lambda: talk.chainlet.ended == ["cancelled", "cleaned up"], "the callee is cancelled")

        assert talk.chainlet.taken < 150
        assert loop.time() - started < 0.2


@on_a_loop
async def test_a_callee_that_takes_nothing_stops_the_iterator(serve: Serve) -> None:
    async with talking(serve) as talk:
        big = [talk.word(text="more", data=bytes(100_000)) for _ in range(1000)]
        source = Source([talk.word(text="wait"), *big])
        words = source()
        task = asyncio.create_task(anext(talk.converse(words)))
        await until(lambda: source.made > 1, "the iterator was asked")
        await stands_still(lambda: source.made)

        assert source.made < 200, "100 MB were read from the iterator for a callee that takes nothing"
        task.cancel()
        await asyncio.wait([task])
        assert source.ended == ["cleaned up"], "the iterator is left open, in the middle of a send"


@on_a_loop
async def test_a_consumer_that_takes_nothing_stops_the_callee(serve: Serve) -> None:
    async with talking(serve) as talk:
        words = [talk.word(text="more", data=bytes(100_000)) for _ in range(1000)]
        items = talk.converse(Source(words)())
        await anext(items)
        await stands_still(lambda: int(talk.chainlet.taken))

        assert talk.chainlet.taken < 200
        await items.aclose()


@on_a_loop
async def test_arguments_that_the_callee_refuses_are_told(serve: Serve) -> None:
    async with talking(serve) as talk, talk.calls.transport.converse(Call()) as raw:
        await raw.send(header_frame("application/json", {}, (b'{"most": "x"}',)))

        kind, content = read_frame(await raw.receive())

        assert kind == ERROR
        assert read_error(content)[0] == 400
        assert b"`suffix`: Field required." in content


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (b"", b"an empty message"),
        (b"\x09", b"unknown kind 0x09"),
        (item_frame((b"1",)), b"begins with a header"),
        (bytes((HEADER,)) + b"\x00", b"cut short"),
        (bytes((HEADER,)) + b"\x00\x00\x00\x02{}", b"without its content type"),
    ],
    ids=["empty", "unknown", "item first", "short", "no type"],
)
@on_a_loop
async def test_what_is_no_opening_is_refused(serve: Serve, message: bytes, text: bytes) -> None:
    async with talking(serve) as talk, talk.calls.transport.converse(Call()) as raw:
        await raw.send(message)

        kind, content = read_frame(await raw.receive())

        assert (kind, read_error(content)[0]) == (ERROR, 400)
        assert text in content


@on_a_loop
async def test_a_bad_item_of_the_caller_is_told(serve: Serve) -> None:
    async with talking(serve) as talk, talk.calls.transport.converse(Call()) as raw:
        await raw.send(header_frame("application/json", {}, (b'{"suffix": "!"}',)))
        await raw.send(item_frame((b'{"text": 5}',)))

        kind, content = read_frame(await raw.receive())

        assert (kind, read_error(content)[0]) == (ERROR, 400)
        assert b"`text`" in content


class Script:
    """A transport whose callee says what a test has written down."""

    def __init__(self, *frames: bytes, refusals: int = 0) -> None:
        self.frames = list(frames)
        self.refusals = refusals

    @asynccontextmanager
    async def converse(self, call: Call) -> AsyncIterator[Script]:
        if self.refusals:
            self.refusals -= 1
            raise PenstockError(EndCode.REPLICA_FULL, close_code=1013, reason="", retryable=True)
        yield self

    async def send(self, data: bytes) -> None:
        return None

    async def receive(self) -> bytes:
        if self.frames:
            return self.frames.pop(0)
        raise PenstockError(EndCode.COMPLETED, close_code=1000, reason="", retryable=False)


async def all_from(model: Any, script: Script, source: Source, **options: Any) -> list[Any]:
    arguments = {"words": source(), "suffix": ""}
    transport: Any = script
    return [item async for item in converse(transport, {}, model.endpoint.description, arguments, False, **options)]


@on_a_loop
async def test_an_end_without_the_last_message_is_an_error(serve: Serve) -> None:
    with pytest.raises(PenstockError, match="without its last message"):
        await all_from(serve(WORDS, "Talker"), Script(), Source([]))


@on_a_loop
async def test_an_error_without_detail_is_raised_all_the_same(serve: Serve) -> None:
    with pytest.raises(GenericRemoteException, match="just text"):
        await all_from(serve(WORDS, "Talker"), Script(error_frame(502, "just text")), Source([]))


@on_a_loop
async def test_only_the_opening_is_tried_again(serve: Serve) -> None:
    model, source = serve(WORDS, "Talker"), Source([])
    with pytest.raises(PenstockError, match="REPLICA_FULL"):
        await all_from(model, Script(bytes((END,)), refusals=2), source, attempts=2)
    assert source.ended == [], "the iterator was used up by a call that never began"

    assert await all_from(model, Script(bytes((END,)), refusals=1), source, attempts=2) == []


@on_a_loop
async def test_a_cleanup_of_the_iterator_that_hangs_does_not_hold_up_the_call(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "SETTLE_S", 0.05)
    begun = asyncio.Event()
    async with talking(serve) as talk:

        async def words() -> AsyncIterator[Any]:
            try:
                for _ in range(1000):
                    yield talk.word(text="more", data=bytes(100_000))
            finally:
                begun.set()
                await asyncio.Event().wait()

        async with aclosing(talk.converse(words())) as items:
            await anext(items)

        assert begun.is_set()


@on_a_loop
async def test_an_iterator_that_never_waits_leaves_the_loop_to_others(serve: Serve) -> None:
    turns = [0]
    async with talking(serve) as talk:
        source = Source(talk.words(*["a"] * 500))

        async def others() -> None:
            while turns[-1] < 500:
                turns.append(source.made)
                await asyncio.sleep(0)

        other = asyncio.create_task(others())
        await all_of(talk.converse(source()))
        await other

    assert max(after - before for before, after in pairwise(turns)) <= 2 * conversation.SENT_PER_TURN


@on_a_loop
async def test_what_the_callee_awaited_and_was_cancelled_is_an_error_as_any_other(serve: Serve) -> None:
    async with talking(serve) as talk:
        with pytest.raises(GenericRemoteException, match="CancelledError"):
            await all_of(talk.converse(Source(talk.words("a", "lost"))()))
