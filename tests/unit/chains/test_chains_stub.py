"""Stubs of dependencies: the callee's signature, types and errors."""

from __future__ import annotations

import asyncio
import inspect
import json
import warnings
from collections.abc import AsyncIterator, Iterator
from typing import Any

import numpy as np
import pydantic
import pytest
from aiohttp import web

from penstock import chains
from penstock.chains import registry
from penstock.chains.context import DeployedServiceDescriptor
from penstock.chains.description import Dependency
from penstock.chains.errors import ChainsUsageError
from penstock.chains.options import RPCOptions
from penstock.chains.pydantic_numpy import NumpyArrayField
from penstock.chains.registry import ChainletRegistry
from penstock.chains.remote import frames, trace
from penstock.chains.remote.background_loop import stop_background_loop
from penstock.chains.remote.encoding import CHAIN, decode_value, encode_value
from penstock.chains.remote.stub import StubBase, make_stub
from penstock.chains.remote.transport import Reply
from penstock.close_codes import EndCode
from penstock.errors import UpstreamError, error_for
from penstock_testing.chainlet_serving import FakeRuntime, Install
from penstock_testing.fake_transport import FakeTransport, Pieces, body_of, error_reply, json_reply
from penstock_testing.web_server import web_server


class Point(pydantic.BaseModel):
    x: float
    y: float = 2.0


class Picture(pydantic.BaseModel):
    pixels: NumpyArrayField


@pytest.fixture(autouse=True)
def chainlets(fresh_registry: ChainletRegistry) -> Iterator[None]:
    yield
    stop_background_loop()


def stub_of(chainlet: Any, transport: FakeTransport, path: str = "", **options: Any) -> Any:
    rpc = RPCOptions(**options)
    url = f"http://127.0.0.1:1/{path}"
    descriptor = DeployedServiceDescriptor(
        name=chainlet.__name__, display_name=chainlet.display_name, predict_url=url, options=rpc
    )
    return make_stub(Dependency("dep", chainlet, rpc), descriptor, transport)


def define(source: str) -> Any:
    """Returns the chainlet class `X` of a text: its annotations must be types, which in this module they are not."""
    scope: dict[str, Any] = {
        "__name__": "my_chain",
        "chains": chains,
        "Point": Point,
        "AsyncIterator": AsyncIterator,
        "Picture": Picture,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that `run_remote` should be async
        exec(compile(source, "my_chain.py", "exec", dont_inherit=True), scope)
    registry.raise_errors()
    return scope["X"]


UNARY = '''
class X(chains.ChainletBase):
    async def run_remote(self, n: int, point: Point, text: str = "default") -> tuple[Point, list[Point]]:
        """Does it."""
'''


def test_a_call_has_the_callees_arguments_and_result() -> None:
    transport = FakeTransport(json_reply([{"x": 1, "y": 3}, [{"x": 5}]]))
    stub = stub_of(define(UNARY), transport)

    result = asyncio.run(stub.run_remote(1, Point(x=7), text="t"))

    assert result == (Point(x=1, y=3), [Point(x=5)])
    assert json.loads(body_of(transport.calls[0])) == {"n": 1, "point": {"x": 7.0, "y": 2.0}, "text": "t"}
    assert dict(transport.calls[0].headers) == {"content-type": "application/json"}


def test_a_stub_looks_like_the_callee() -> None:
    stub = stub_of(define(UNARY), FakeTransport(json_reply(None)))

    assert issubclass(type(stub), StubBase)
    assert type(stub).__name__ == stub.name == "X"
    assert list(inspect.signature(stub.run_remote).parameters) == ["n", "point", "text"]
    assert (stub.run_remote.__doc__, stub.run_remote.__qualname__) == ("Does it.", "X.run_remote")
    assert inspect.iscoroutinefunction(stub.run_remote)


def test_every_argument_is_required() -> None:
    stub = stub_of(define(UNARY), FakeTransport(json_reply(None)))

    with pytest.raises(TypeError, match=r"X\.run_remote\(\) missing 1 required positional argument: 'text'"):
        asyncio.run(stub.run_remote(1, Point(x=7)))


def test_arguments_and_results_are_checked() -> None:
    transport = FakeTransport(json_reply("x"))
    stub = stub_of(
        define("class X(chains.ChainletBase):\n    async def run_remote(self, n: int) -> int: ..."), transport
    )

    with pytest.raises(pydantic.ValidationError):
        asyncio.run(stub.run_remote("word"))
    assert transport.calls == []
    with pytest.raises(pydantic.ValidationError):
        asyncio.run(stub.run_remote(1))


def test_ids_of_the_request_follow_every_call() -> None:
    transport = FakeTransport(json_reply(1))
    stub = stub_of(define("class X(chains.ChainletBase):\n    async def run_remote(self) -> int: ..."), transport)

    with trace.bound({"traceparent": "T", "x-baseten-request-id": "r", "x-baseten-chain-request-id": "c"}):
        asyncio.run(stub.run_remote())

    assert dict(transport.calls[0].headers) == {
        "content-type": "application/json",
        "traceparent": "T",
        "x-baseten-request-id": "r",
        "x-baseten-chain-request-id": "c",
    }


def test_binary_calls_carry_arrays_as_they_are() -> None:
    source = "class X(chains.ChainletBase):\n    async def run_remote(self, a: Picture) -> Picture: ..."
    answer = Reply(200, {"content-type": CHAIN}, b"".join(encode_value(None, {"pixels": np.ones(3)}, CHAIN)))
    transport = FakeTransport(answer)
    array = np.arange(1000.0)

    result = asyncio.run(
        stub_of(define(source), transport, use_binary=True).run_remote(Picture(pixels=NumpyArrayField(array)))
    )

    np.testing.assert_array_equal(result.pixels.array, np.ones(3))
    call = transport.calls[0]
    assert call.headers["content-type"] == CHAIN
    np.testing.assert_array_equal(decode_value(None, body_of(call), CHAIN)["a"]["pixels"], array)
    assert any(np.shares_memory(np.frombuffer(part, np.uint8), array) for part in call.body)


def test_an_error_of_the_callee_is_raised_in_its_class_with_its_tree() -> None:
    source = "class X(chains.ChainletBase):\n    async def run_remote(self) -> int: ..."
    transport = FakeTransport(error_reply("KeyError", "bad"))

    text = "Error calling dependency Chainlet `X`, HTTP status=500, trace ID=`T`"
    with trace.bound({"traceparent": "T"}), pytest.raises(KeyError, match=text):
        asyncio.run(stub_of(define(source), transport).run_remote())


def test_a_callee_that_is_not_async_is_called_without_await() -> None:
    stub = stub_of(
        define("class X(chains.ChainletBase):\n    def run_remote(self, n: int) -> int: ..."),
        FakeTransport(error_reply("KeyError", "k"), json_reply(5)),
        retries=2,
    )

    assert stub.run_remote(n=1) == 5


def test_a_callee_that_is_not_async_is_called_on_the_runners_loop_over_http(install: Install) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response((await request.json())["n"] + 1)

    async def run(address: str) -> tuple[int, int]:
        runtime = FakeRuntime({}, asyncio.get_running_loop())
        install(runtime)
        stub = stub_of(
            define("class X(chains.ChainletBase):\n    def run_remote(self, n: int) -> int: ..."),
            FakeTransport(json_reply(7)),
            path="run_remote",
        )
        runtime.http_address = address  # an edge that came later than the stub
        return stub.run_remote(n=1), await asyncio.to_thread(stub.run_remote, n=1)

    with web_server(run_remote=answer) as server:
        assert asyncio.run(run(server.url.removeprefix("http://").rstrip("/"))) == (2, 7)
        assert [body for _, body in server.requests] == [b'{"n":1}']


STREAM = "class X(chains.ChainletBase):\n    async def run_remote(self, n: int) -> AsyncIterator[{}]:\n        yield {}"
TEXT = STREAM.format("str", "''")
BYTES = STREAM.format("bytes", "b''")
FRAMED = {"content-type": frames.STREAM_TYPE}


async def collected(stream: Any, into: list[Any] | None = None) -> list[Any]:
    got = [] if into is None else into
    async for item in stream:
        got.append(item)  # what came before an error counts, too
    return got


def framed(*items: bytes) -> list[bytes]:
    return [frames.item_frame((item,)) for item in items]


def test_items_of_a_stream_stay_apart() -> None:
    transport = FakeTransport(Pieces([*framed(b"a", b"", "ü".encode()), frames.END_FRAME], headers=FRAMED))

    assert asyncio.run(collected(stub_of(define(TEXT), transport).run_remote(n=1))) == ["a", "", "ü"]
    assert transport.calls[0].headers[frames.STREAM_HEADER] == frames.STREAM_FRAMED
    assert json.loads(body_of(transport.calls[0])) == {"n": 1}


def test_items_of_bytes_stay_bytes() -> None:
    transport = FakeTransport(Pieces([*framed(b"\xff", b""), frames.END_FRAME], headers=FRAMED))

    assert asyncio.run(collected(stub_of(define(BYTES), transport).run_remote(1))) == [b"\xff", b""]


def test_text_without_frames_may_be_torn_anywhere() -> None:
    text = "aü€𝄞"
    transport = FakeTransport(Pieces([bytes((byte,)) for byte in text.encode()]))

    assert asyncio.run(collected(stub_of(define(TEXT), transport).run_remote(1))) == list(text)


def test_text_that_ends_within_a_character_is_an_error() -> None:
    with pytest.raises(UnicodeDecodeError):
        asyncio.run(collected(stub_of(define(TEXT), FakeTransport(Pieces(["ü".encode()[:1]]))).run_remote(1)))


def test_an_error_after_the_first_item_is_the_callees() -> None:
    detail = json.loads(bytes(error_reply("KeyError", "bad").body))["error"]
    pieces = Pieces([*framed(b"a"), frames.error_frame(500, detail)], headers=FRAMED)
    got: list[str] = []

    with pytest.raises(KeyError, match="bad"):
        asyncio.run(collected(stub_of(define(TEXT), FakeTransport(pieces)).run_remote(1), got))
    assert got == ["a"]


def test_a_stream_without_its_end_is_cut_short() -> None:
    with pytest.raises(UpstreamError, match="cut short"):
        asyncio.run(collected(stub_of(define(TEXT), FakeTransport(Pieces(framed(b"a"), headers=FRAMED))).run_remote(1)))


def test_leaving_a_stream_cancels_the_callee() -> None:
    async def run() -> None:
        transport = FakeTransport(Pieces([*framed(b"a", b"b"), frames.END_FRAME], headers=FRAMED))
        stream = stub_of(define(TEXT), transport).run_remote(1)
        assert await anext(stream) == "a"
        assert transport.left == 0
        await stream.aclose()
        assert transport.left == 1

    asyncio.run(run())


def test_a_conversation_goes_to_the_callee() -> None:
    chainlet = define(
        "class X(chains.ChainletBase):\n"
        "    async def run_remote(self, words: AsyncIterator[str]) -> AsyncIterator[int]:\n"
        "        async for word in words:\n"
        "            yield len(word)"
    )

    async def words() -> AsyncIterator[str]:
        yield "a"

    transport = FakeTransport()
    with pytest.raises(type(error_for(EndCode.NOT_FOUND))):
        asyncio.run(collected(stub_of(chainlet, transport, retries=2).run_remote(words())))
    assert len(transport.calls) == 2


def test_what_cannot_be_called_has_no_stub() -> None:
    websocket = define(
        "class X(chains.ChainletBase):\n"
        "    async def run_remote(self, websocket: chains.WebSocketProtocol) -> None: ..."
    )

    with pytest.raises(ChainsUsageError, match="reached by WebSocket only"):
        stub_of(websocket, FakeTransport())
