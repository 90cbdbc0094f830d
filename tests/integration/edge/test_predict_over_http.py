"""HTTP at the predict path through a real edge and runner, by a client that says things its own way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from penstock_testing.asked_model import MODEL, PREDICT, SLOTS, wait_seen
from penstock_testing.raw_http import RawHttp, chunk, post, raw_http
from penstock_testing.static_platform import StaticPlatform

MIB = 1024 * 1024
Play = Callable[[Callable[[RawHttp], Awaitable[None]]], None]

CHUNKED = f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n"


async def works(client: RawHttp) -> None:
    """The connection takes another request."""
    answer = await client.ask({"it": "works"}, path=PREDICT)
    assert (answer.status, answer.json()) == (200, {"it": "works"})


@pytest.mark.parametrize(
    ("inputs", "status"),
    [
        ({"a": 1}, 200),
        ({"do": "raised"}, 500),
        ({"do": "refused", "status": 409}, 409),
        ({"do": "refused", "status": 404}, 404),
        ({"do": "items", "count": 3}, 200),
        ({"do": "items", "count": 0}, 200),
        ({"do": "large", "size": MIB}, 200),
        ({"do": "events"}, 200),
    ],
)
def test_the_connection_is_kept_after_every_kind_of_answer(play: Play, inputs: object, status: int) -> None:
    async def scenario(client: RawHttp) -> None:
        for _ in range(3):
            answer = await client.ask(inputs, path=PREDICT)
            assert answer.status == status and answer.is_whole
            assert answer.header("connection") is None
        await works(client)

    play(scenario)


def test_what_the_model_says_of_a_failure_stays_in_its_log(play: Play) -> None:
    async def scenario(client: RawHttp) -> None:
        answer = await client.ask({"do": "raised"}, path=PREDICT)
        assert b"secret" not in answer.body

    play(scenario)


def test_requests_in_a_row_are_answered_in_order(play: Play) -> None:
    async def scenario(client: RawHttp) -> None:
        requests = [post(json.dumps({"number": number}).encode(), path=PREDICT) for number in range(50)]
        await client.send(b"".join(requests))
        assert [(await client.answer()).json() for _ in range(50)] == [{"number": number} for number in range(50)]

    play(scenario)


def test_a_request_that_waits_behind_a_stream_is_answered_after_it(play: Play) -> None:
    async def scenario(client: RawHttp) -> None:
        stream = post(json.dumps({"do": "items", "count": 5, "pause": 0.01}).encode(), path=PREDICT)
        await client.send(stream + post(b'{"next": 1}', path=PREDICT))
        assert (await client.answer()).parts == [b"item %d " % number for number in range(5)]
        assert (await client.answer()).json() == {"next": 1}

    play(scenario)


def test_a_client_that_expects_to_be_asked_is_asked_to_continue(play: Play) -> None:
    async def scenario(client: RawHttp) -> None:
        body = b'{"a": 1}'
        request = post(body, ("Expect", "100-continue"), path=PREDICT)
        await client.send(request.removesuffix(body))
        assert (await client.answer()).status == 100
        await client.send(body)
        assert (await client.answer()).json() == {"a": 1}
        await works(client)

    play(scenario)


def test_a_body_in_chunks_of_a_byte_arrives_whole(play: Play) -> None:
    async def scenario(client: RawHttp) -> None:
        await client.send(CHUNKED.encode() + b"\r\n")
        for byte in json.dumps({"chunks": "of a byte"}).encode():
            await client.send(chunk(bytes([byte])))
        await client.send(chunk(b""))
        assert (await client.answer()).json() == {"chunks": "of a byte"}
        await works(client)

    play(scenario)


@pytest.mark.parametrize("size", [1, 128 * 1024, 256 * 1024, 256 * 1024 + 1, MIB, 5 * MIB])
def test_bodies_of_any_size_pass_both_ways(play: Play, size: int) -> None:
    async def scenario(client: RawHttp) -> None:
        sent = await client.ask({"do": "size", "data": "x" * size}, path=PREDICT)
        assert sent.json() == {"size": size}
        received = await client.ask({"do": "large", "size": size}, path=PREDICT)
        assert received.header("content-length") == str(len(received.body)), "its length is told"
        assert received.json() == {"data": "y" * size}

    play(scenario)


def test_the_edge_does_not_hold_a_long_response(play: Play, asked: StaticPlatform) -> None:
    before = _most_memory(asked.edge.pid)

    async def scenario(client: RawHttp) -> None:
        answer = await client.ask({"do": "blocks", "count": 64, "size": MIB}, path=PREDICT)
        assert len(answer.body) == 64 * MIB

    play(scenario)
    assert _most_memory(asked.edge.pid) - before < 24 * MIB


def test_a_slow_body_holds_no_slot_and_a_quick_one_passes_it(play: Play, asked: StaticPlatform) -> None:
    async def scenario(client: RawHttp) -> None:
        slow = [raw_http(asked.http) for _ in range(SLOTS + 8)]
        opened = [await one.__aenter__() for one in slow]
        try:
            for one in opened:
                await one.send(post(b'{"a": 1}', path=PREDICT)[:-1])
            await works(client)
            for one in opened:
                await one.send(b"}")
                assert (await one.answer()).json() == {"a": 1}
        finally:
            for context in slow:
                await context.__aexit__(None, None, None)

    play(scenario)


def test_headers_of_the_model_pass_unless_they_frame_the_message(play: Play) -> None:
    async def scenario(client: RawHttp) -> None:
        answer = await client.ask({"do": "cookies"}, path=PREDICT)
        assert [value for name, value in answer.headers if name == "set-cookie"] == ["a=1", "b=2"]
        assert answer.header("content-length") == "2"
        assert answer.header("transfer-encoding") is None and answer.header("connection") is None
        await works(client)

    play(scenario)


def test_credentials_and_hop_headers_do_not_reach_the_model(play: Play) -> None:
    async def scenario(client: RawHttp) -> None:
        answer = await client.ask(
            {"do": "headers"},
            ("Authorization", "Api-Key secret"),
            ("X-Api-Key", "secret"),
            ("Connection", "keep-alive"),
            ("TE", "trailers"),
            ("X-Own", "kept"),
            path=PREDICT,
        )
        seen = answer.json()
        assert isinstance(seen, dict)
        assert "secret" not in json.dumps(seen)
        assert seen["x-own"] == "kept"
        assert not {"connection", "te", "transfer-encoding", "content-length"} & seen.keys()

    play(scenario)


def test_the_id_of_a_request_is_the_clients_or_a_new_one(play: Play) -> None:
    async def scenario(client: RawHttp) -> None:
        own = await client.ask({"do": "headers"}, ("X-Baseten-Request-Id", "mine-1"), path=PREDICT)
        assert own.header("x-baseten-request-id") == "mine-1"
        made = await client.ask({"do": "headers"}, path=PREDICT)
        seen = made.json()
        assert isinstance(seen, dict)
        assert made.header("x-baseten-request-id") == seen["x-baseten-request-id"]
        assert made.header("x-baseten-model-prediction-attempts") == "1"

    play(scenario)


@pytest.mark.parametrize(
    "request_bytes",
    [
        post(b"{}", ("Content-Length", "x"), path=PREDICT),
        post(b"{}", ("Content-Length", "-1"), path=PREDICT),
        post(b"{}", ("Content-Length", "2, 2"), path=PREDICT),
        post(b"{}", ("Content-Length", "99999999999999999999999"), path=PREDICT),
        post(b"{}", ("Transfer-Encoding", "chunked"), path=PREDICT),
        CHUNKED.encode() + b"\r\nzz\r\n",
        post(b"{}", ("X-A", "a\0b"), path=PREDICT),
        post(b"{}", (" X-A", "a"), path=PREDICT),
        b"POST\r\n\r\n",
    ],
)
def test_a_request_that_may_hide_another_is_refused_and_cut(play: Play, request_bytes: bytes) -> None:
    async def scenario(client: RawHttp) -> None:
        await client.send(request_bytes + post(b'{"smuggled": 1}', path=PREDICT))
        assert (await client.answer()).status == 400
        assert await client.is_closed()

    play(scenario)


def test_a_body_that_is_too_large_by_its_own_word_is_refused_unread(play: Play) -> None:
    async def scenario(client: RawHttp) -> None:
        await client.send(post(b"", ("Content-Length", str(101 * MIB)), path=PREDICT))
        answer = await client.answer()
        assert (answer.status, answer.header("connection")) == (413, "close")
        assert await client.is_closed()

    play(scenario)


@pytest.mark.parametrize("request_headers", [CHUNKED, CHUNKED + "Expect: 100-continue\r\n"])
def test_a_client_that_leaves_during_its_body_leaves_nothing(
    play: Play, asked: StaticPlatform, request_headers: str
) -> None:
    async def scenario(client: RawHttp) -> None:
        await client.send(request_headers.encode() + b"\r\n")
        for _ in range(4):
            await client.send(chunk(bytes(64 * 1024)))
        client.abort()
        async with raw_http(asked.http) as other:
            await works(other)

    play(scenario)


@pytest.mark.parametrize("how", ["watch", "watch_stream"])
def test_the_model_is_told_at_once_that_its_client_is_gone(play: Play, asked: StaticPlatform, how: str) -> None:
    async def scenario(client: RawHttp) -> None:
        await client.send(post(json.dumps({"do": how, "name": how}).encode(), path=PREDICT))
        await wait_seen(asked, how, "running")
        client.abort()
        async with asyncio.timeout(3):
            await wait_seen(asked, how, "gone")

    play(scenario)


def test_the_answer_to_head_has_no_body(play: Play) -> None:
    async def scenario(client: RawHttp) -> None:
        path = f"/model/{MODEL}/sync/v1/models/model"
        await client.send(post(b"", path=path, method="GET"))
        assert (await client.answer()).status == 200
        await client.send(post(b"", path=path, method="HEAD"))
        head = await client.answer(method="HEAD")
        assert head.status == 405, "as a Truss server has it"
        assert head.header("transfer-encoding") is None
        await works(client)

    play(scenario)


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        (PREDICT, "GET", 405),
        (PREDICT, "TRACE", 405),
        (f"/model/{MODEL}/wake", "GET", 405),
        (f"/model/{MODEL}/async_predict", "GET", 405),
        (f"/model/{MODEL}/websocket", "POST", 426),
        ("/model/other/predict", "POST", 404),
        (f"/model/{MODEL}/nothing", "POST", 404),
    ],
)
def test_refusals_say_what_is_wrong_and_keep_the_connection(play: Play, path: str, method: str, status: int) -> None:
    async def scenario(client: RawHttp) -> None:
        await client.send(post(b"{}", path=path, method=method))
        answer = await client.answer()
        assert answer.status == status
        said = answer.json()
        assert isinstance(said, dict) and said["error"] and said["code"]
        await works(client)

    play(scenario)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/models/model:predict", {"messages": [1]}),
        (f"/model/{MODEL}/production/predict", {"messages": [1]}),
        (f"/model/{MODEL}/sync/v1/models/model:predict", {"messages": [1]}),
    ],
)
def test_every_path_to_predict_leads_there(play: Play, path: str, body: object) -> None:
    async def scenario(client: RawHttp) -> None:
        assert (await client.ask(body, path=path)).json() == body

    play(scenario)


@pytest.mark.parametrize("path", ["/v1/chat/completions", f"/model/{MODEL}/sync/v1/chat/completions"])
def test_methods_in_the_style_of_openai_have_their_paths(play: Play, path: str) -> None:
    async def scenario(client: RawHttp) -> None:
        assert (await client.ask({"messages": [1]}, path=path)).json() == {"choices": [1]}

    play(scenario)


def test_a_wish_to_wake_is_taken_at_once(play: Play) -> None:
    async def scenario(client: RawHttp) -> None:
        assert (await client.ask({}, path=f"/model/{MODEL}/wake")).status == 202
        await works(client)

    play(scenario)


def _most_memory(process_id: int) -> int:
    """The largest resident size that a process has had, in bytes."""
    for line in Path(f"/proc/{process_id}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")
