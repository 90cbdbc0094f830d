"""Calls of deployed models by their URL."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pydantic
import pytest
from aiohttp import web

from penstock import chains
from penstock.chains.context import DeployedServiceDescriptor, InternalURL
from penstock.chains.remote import trace
from penstock.chains.remote.background_loop import stop_background_loop
from penstock.chains.remote.rpc_errors import GenericRemoteException
from penstock.errors import UpstreamError
from penstock.payloads.msgpack_codec import pack, unpack
from penstock_testing.web_server import WebServer, web_server


class Words(pydantic.BaseModel):
    text: str
    count: int = 1


class Whisper(chains.StubBase):
    async def run_remote(self, audio: str) -> Words:
        return await self.predict_async({"audio": audio}, output_model=Words)


async def words(_request: web.Request) -> web.StreamResponse:
    return web.json_response({"text": "hello"})


async def binary(request: web.Request) -> web.StreamResponse:
    value = unpack(await request.read())
    return web.Response(body=pack({"doubled": value["array"] * 2}), content_type="application/octet-stream")


async def unlabelled(_request: web.Request) -> web.StreamResponse:
    return web.Response(body=b"[1, 2]", content_type="application/octet-stream")


async def numbers(_request: web.Request) -> web.StreamResponse:
    return web.json_response([1, 2])


async def text_error(_request: web.Request) -> web.StreamResponse:
    return web.json_response({"error": "model is down"}, status=503)


async def hang(_request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def pieces(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for number in range(3):
        await response.write(b"piece %d;" % number)
    return response


@pytest.fixture(scope="module")
def server() -> Iterator[WebServer]:
    with web_server(
        words=words, binary=binary, numbers=numbers, unlabelled=unlabelled, error=text_error, hang=hang, pieces=pieces
    ) as found:
        yield found
    stop_background_loop()


def stub(server: WebServer, path: str, **options: Any) -> Whisper:
    return Whisper.from_url(f"{server.url}{path}", "KEY", chains.RPCOptions(**options))


def test_a_typed_call(server: WebServer) -> None:
    result = asyncio.run(stub(server, "words").run_remote("YQ=="))

    headers, body = server.requests[-1]
    assert result == Words(text="hello")
    assert json.loads(body) == {"audio": "YQ=="}
    assert (headers["authorization"], headers["content-type"]) == ("Api-Key KEY", "application/json")


def test_inputs_and_outputs_may_be_models_or_plain_values(server: WebServer) -> None:
    async def run() -> None:
        target = stub(server, "words")
        assert await target.predict_async(Words(text="in")) == {"text": "hello"}
        assert json.loads(server.requests[-1][1]) == {"text": "in", "count": 1}
        assert await target.predict_async(Words(text="in"), output_model=Words) == Words(text="hello")
        assert await stub(server, "numbers").predict_async({}, output_type=list[int]) == [1, 2]
        with pytest.raises(pydantic.ValidationError):
            await stub(server, "numbers").predict_async({}, output_model=Words)

    asyncio.run(run())


def test_binary_is_msgpack_as_a_truss_server_has_it(server: WebServer) -> None:
    result = asyncio.run(stub(server, "binary", use_binary=True).predict_async({"array": np.arange(3)}))

    assert server.requests[-1][0]["content-type"] == "application/octet-stream"
    np.testing.assert_array_equal(result["doubled"], [0, 2, 4])


def test_an_answer_in_json_to_a_binary_call_is_read(server: WebServer) -> None:
    assert asyncio.run(stub(server, "numbers", use_binary=True).predict_async({"x": b"\xff"})) == [1, 2]


def test_an_answer_to_a_call_in_json_is_json_whatever_it_says(server: WebServer) -> None:
    assert asyncio.run(stub(server, "unlabelled").predict_async({})) == [1, 2]


def test_synchronous_calls_work_with_and_without_a_loop(server: WebServer) -> None:
    target = stub(server, "words")

    assert target.predict_sync({}) == {"text": "hello"}
    assert target.predict_sync(Words(text="x"), Words) == Words(text="hello")
    assert target.predict_sync({}, output_type=dict[str, str]) == {"text": "hello"}

    async def run() -> Any:
        return target.predict_sync({})

    assert asyncio.run(run()) == {"text": "hello"}
    with pytest.raises(GenericRemoteException):
        stub(server, "error").predict_sync({})


def test_pieces_of_a_response_come_with_and_without_await(server: WebServer) -> None:
    async def run() -> None:
        target = stub(server, "pieces")
        assert b"".join([piece async for piece in target.predict_async_stream({})]) == b"piece 0;piece 1;piece 2;"
        assert b"".join([piece async for piece in await target.predict_async_stream({})]).startswith(b"piece 0;")
        with pytest.raises(GenericRemoteException, match="model is down"):
            await stub(server, "error").predict_async_stream({})

    asyncio.run(run())


def test_errors_name_the_stub(server: WebServer) -> None:
    with pytest.raises(GenericRemoteException) as caught:
        asyncio.run(stub(server, "error").run_remote(""))

    assert str(caught.value) == (
        "Error calling dependency Chainlet `Whisper`, HTTP status=503, trace ID=`None`.: 'model is down'"
    )


def test_a_timeout_is_one_of_python(server: WebServer) -> None:
    with pytest.raises(TimeoutError) as caught:
        asyncio.run(stub(server, "hang", timeout_sec=0.05, retries=2).run_remote(""))

    assert str(caught.value) == "Timeout calling remote Chainlet `Whisper` (0.05 seconds limit)."


def test_nobody_at_the_address_is_an_error_of_the_platform() -> None:
    with pytest.raises(UpstreamError, match="no response from"):
        asyncio.run(Whisper.from_url("http://127.0.0.1:1/predict", "KEY").run_remote(""))


def test_ids_of_the_request_are_passed_on(server: WebServer) -> None:
    with trace.bound({"traceparent": "T", "x-baseten-request-id": "r", "x-baseten-chain-request-id": "c"}):
        stub(server, "words").predict_sync({})

    headers, _ = server.requests[-1]
    assert [headers[name] for name in ("traceparent", "x-baseten-request-id", "x-baseten-chain-request-id")] == [
        "T",
        "r",
        "c",
    ]


def test_the_internal_address_is_preferred_and_has_its_host_name(server: WebServer) -> None:
    descriptor = DeployedServiceDescriptor(
        name="Other",
        display_name="Shown",
        options=chains.RPCOptions(),
        predict_url="http://127.0.0.1:1/",
        internal_url=InternalURL(gateway_run_remote_url=f"{server.url}words", hostname="chain.internal"),
    )
    target = Whisper(descriptor, "KEY")

    assert target.name == "Other"
    assert asyncio.run(target.run_remote("")) == Words(text="hello")
    assert server.requests[-1][0]["host"] == "chain.internal"


def test_the_key_comes_from_the_context(server: WebServer) -> None:
    with_key = chains.DeploymentContext(chainlet_to_service={}, secrets={"baseten_chain_api_key": "SECRET"})
    without = chains.DeploymentContext(chainlet_to_service={}, secrets={})

    Whisper.from_url(f"{server.url}words", with_key).predict_sync({})
    first = server.requests[-1][0]
    Whisper.from_url(f"{server.url}words", without).predict_sync({})

    assert first["authorization"] == "Api-Key SECRET"
    assert "authorization" not in server.requests[-1][0]
