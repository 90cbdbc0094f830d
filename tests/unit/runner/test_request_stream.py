from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from penstock.api.common.v1 import common_pb2
from penstock.api.trunk.v1 import trunk_pb2
from penstock.close_codes import EndCode
from penstock.trunk.endpoint import Endpoint
from penstock.trunk.limits import WINDOW_BYTES
from penstock.trunk.stream import TrunkStream
from penstock_runner.predict.disconnect import EXTENSION, DisconnectSignal
from penstock_runner.request_stream import HEAD_BODY_BYTES_MAX, RequestStream, make_scope
from penstock_runner.stream import ClientDisconnectedError
from penstock_testing.client_side import MemoryTrunk, settle
from penstock_testing.virtual_time import run_virtual

START: dict[str, Any] = {"type": "http.response.start", "status": 201, "headers": [(b"x-a", b"1")]}


def part(body: bytes = b"", *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": more}


class Both:
    """A client and the app's channels on one stream."""

    def __init__(self, body: bytes = b"", *, body_follows: bool = False) -> None:
        self.trunk = MemoryTrunk(self._on_open)
        self.app: RequestStream
        request = trunk_pb2.OpenStream(stream_id="s1", body=body, body_follows=body_follows)
        self.client = self.trunk.open(request=request)

    def _on_open(self, endpoint: Endpoint, stream: TrunkStream, request: trunk_pb2.OpenStream) -> None:
        self.app = RequestStream(stream, request, asyncio.get_running_loop())
        stream.sink = self.app
        endpoint.accept(stream, trunk_pb2.AcceptStream())

    def response(self) -> tuple[trunk_pb2.ResponseHead, list[bytes]]:
        """The head, and the messages behind it."""
        self.trunk.pump()
        head, *rest = [data for _, data in self.client.messages]
        return trunk_pb2.ResponseHead.FromString(head), rest


def played(scenario: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await scenario()

    run_virtual(main())


async def received(both: Both, count: int) -> list[tuple[bytes, bool]]:
    messages = [await asyncio.wait_for(both.app.receive(), 1) for _ in range(count)]
    assert {message["type"] for message in messages} == {"http.request"}
    return [(message["body"], message["more_body"]) for message in messages]


def test_a_body_that_came_with_the_opening_is_whole() -> None:
    async def scenario() -> None:
        assert await received(Both(b"all"), 1) == [(b"all", False)]
        assert await received(Both(), 1) == [(b"", False)]

    played(scenario)


@pytest.mark.parametrize("end_comes_late", [True, False])
def test_parts_of_a_body_come_in_order_and_the_last_says_so(end_comes_late: bool) -> None:
    async def scenario() -> None:
        both = Both(b"one", body_follows=True)
        both.client.send(b"two")
        if end_comes_late:
            assert await received(both, 2) == [(b"one", True), (b"two", True)]
            both.client.send(b"")
            assert await received(both, 1) == [(b"", False)]
        else:
            both.client.send(b"")
            assert await received(both, 2) == [(b"one", True), (b"two", False)]

    played(scenario)


def test_a_client_may_send_only_what_the_model_takes() -> None:
    async def scenario() -> None:
        both = Both(b"", body_follows=True)
        size = 100_000
        while both.client.send(bytes(size)):
            pass
        taken = 0
        while both.client.stream.is_blocked:
            taken += len((await both.app.receive())["body"])
            both.trunk.pump()
        assert 0 < taken <= WINDOW_BYTES

    played(scenario)


def test_who_asks_after_the_body_hears_of_the_end_when_it_comes_and_ever_after() -> None:
    async def scenario() -> None:
        both = Both(b"all")
        await received(both, 1)
        waiting = [asyncio.create_task(both.app.receive()) for _ in range(2)]
        await settle()
        assert not any(task.done() for task in waiting)
        assert not both.app.gone.is_set
        both.client.vanish()
        assert [await task for task in waiting] == [{"type": "http.disconnect"}] * 2
        assert await both.app.receive() == {"type": "http.disconnect"}
        assert both.app.gone.is_set

    played(scenario)


def test_what_came_before_a_client_left_is_still_given() -> None:
    async def scenario() -> None:
        both = Both(b"one", body_follows=True)
        both.client.vanish()
        assert await received(both, 1) == [(b"one", True)]
        assert (await both.app.receive())["type"] == "http.disconnect"

    played(scenario)


def sized(size: int) -> dict[str, Any]:
    """The start of a response whose length is known."""
    return {**START, "headers": [(b"x-a", b"1"), (b"Content-Length", b"%d" % size)]}


def test_a_stream_is_one_also_when_it_is_empty() -> None:
    async def scenario() -> None:
        both = Both()
        await both.app.send(START)
        await both.app.send(part())
        head, rest = both.response()
        assert (head.body, head.body_follows, rest) == (b"", True, [])

    played(scenario)


def test_a_short_response_is_one_message() -> None:
    async def scenario() -> None:
        both = Both()
        await both.app.send(sized(4))
        assert both.client.messages == [], "nothing goes out before the body"
        await both.app.send(part(b"body"))
        head, rest = both.response()
        assert (head.status, head.body, head.body_follows, rest) == (201, b"body", False, [])
        assert [(header.name, header.value) for header in head.headers] == [
            ("x-a", b"1"),
            ("Content-Length", b"4"),
        ]
        assert both.client.closing is not None and both.client.closing.code is EndCode.COMPLETED
        assert await both.app.receive() == {"type": "http.request", "body": b"", "more_body": False}
        assert await both.app.receive() == {"type": "http.disconnect"}, "it has its response"
        both.client.close()
        assert both.app.closing is not None and not both.app.gone.is_set

    played(scenario)


@pytest.mark.parametrize("size", [HEAD_BODY_BYTES_MAX, HEAD_BODY_BYTES_MAX + 1, 700_000])
def test_a_long_body_follows_its_head(size: int) -> None:
    async def scenario() -> None:
        both = Both()
        await both.app.send(sized(size))
        sending = asyncio.create_task(both.app.send(part(bytes(size))))
        await settle()
        assert sending.done()
        head, rest = both.response()
        assert head.body_follows is (size > HEAD_BODY_BYTES_MAX)
        assert len(head.body) + sum(map(len, rest)) == size

    played(scenario)


def test_parts_keep_their_boundaries() -> None:
    async def scenario() -> None:
        both = Both()
        await both.app.send(START)
        for body in (b"one", b"", b"two", bytes(300_000)):
            await both.app.send(part(body, more=True))
        await both.app.send(part())
        head, rest = both.response()
        assert (head.body, head.body_follows) == (b"one", True)
        assert rest == [b"two", bytes(300_000)]

    played(scenario)


def test_the_model_waits_while_its_client_takes_nothing() -> None:
    async def scenario() -> None:
        both = Both()
        both.client.consumes = False
        await both.app.send(START)

        async def send() -> None:
            for _ in range(4 * WINDOW_BYTES // 100_000):
                await both.app.send(part(bytes(100_000), more=True))
            await both.app.send(part())

        sending = asyncio.create_task(send())
        await settle()
        assert not sending.done()
        assert sum(len(data) for _, data in both.client.segments) <= WINDOW_BYTES
        both.client.take()
        await settle()
        assert sending.done() and sending.exception() is None

    played(scenario)


def test_the_last_part_is_sent_when_it_is_on_its_way() -> None:
    """The session ends with it and gives its slot back: a drain that found no slot held would cut what is queued."""

    async def scenario() -> None:
        both = Both()
        both.client.consumes = False
        await both.app.send(START)
        sending = asyncio.create_task(both.app.send(part(bytes(3 * WINDOW_BYTES))))
        await settle()
        assert not sending.done()
        both.client.take()
        await settle()
        assert sending.done() and sending.exception() is None
        assert sum(len(data) for _, data in both.client.segments) >= 3 * WINDOW_BYTES

    played(scenario)


def test_a_client_that_leaves_before_it_has_taken_the_last_part_is_waited_for_no_longer() -> None:
    async def scenario() -> None:
        both = Both()
        both.client.consumes = False
        await both.app.send(START)
        sending = asyncio.create_task(both.app.send(part(bytes(3 * WINDOW_BYTES))))
        await settle()
        both.client.vanish()
        await asyncio.wait_for(sending, 1)

    played(scenario)


@pytest.mark.parametrize("waits", [True, False])
def test_sending_to_a_client_that_left_is_an_error(waits: bool) -> None:
    async def scenario() -> None:
        both = Both()
        both.client.consumes = False
        await both.app.send(START)
        if waits:
            sending = asyncio.create_task(both.app.send(part(bytes(3 * WINDOW_BYTES), more=True)))
            await settle()
            both.client.vanish()
        else:
            both.client.vanish()
            sending = asyncio.create_task(both.app.send(part(b"x")))
        with pytest.raises(ClientDisconnectedError):
            await sending

    played(scenario)


@pytest.mark.parametrize(
    "messages",
    [
        [part()],
        [START, START],
        [START, part(), part()],
        [START, part(), START],
        [{"type": "websocket.send"}],
    ],
)
def test_an_app_that_breaks_asgi_is_told(messages: list[dict[str, Any]]) -> None:
    async def scenario() -> None:
        both = Both()
        for message in messages[:-1]:
            await both.app.send(message)
        with pytest.raises(RuntimeError):
            await both.app.send(messages[-1])

    played(scenario)


def test_only_the_first_end_counts() -> None:
    async def scenario() -> None:
        both = Both()
        both.app.close(EndCode.REPLICA_DRAINING)
        both.app.close(EndCode.COMPLETED)
        both.trunk.pump()
        assert both.client.closing is not None and both.client.closing.code is EndCode.REPLICA_DRAINING

    played(scenario)


def test_the_scope_is_that_of_a_request() -> None:
    gone = DisconnectSignal()
    request = trunk_pb2.OpenStream(
        method="PUT",
        model_path=b"/v1/a%20b",
        query=b"c=d",
        scheme="https",
        headers=[common_pb2.Header(name="x-a", value=b"\xff")],
        client=common_pb2.ClientAddress(host="10.0.0.1", port=7),
    )

    scope = make_scope(request, gone)

    assert (scope["type"], scope["method"], scope["path"], scope["raw_path"]) == (
        "http",
        "PUT",
        "/v1/a b",
        b"/v1/a%20b",
    )
    assert (scope["query_string"], scope["scheme"], scope["client"]) == (b"c=d", "https", ("10.0.0.1", 7))
    assert scope["headers"] == [(b"x-a", b"\xff")]
    assert scope["extensions"][EXTENSION] is gone
    assert make_scope(trunk_pb2.OpenStream(), gone)["client"] is None
    assert make_scope(request, gone)["state"] is not scope["state"]


def test_kinds_of_parts_do_not_matter() -> None:
    async def scenario() -> None:
        both = Both(b"", body_follows=True)
        both.client.send(bytes(600_000))  # in segments
        both.client.send(b"")
        both.trunk.pump()
        body = b""
        while True:
            message = await both.app.receive()
            body += message["body"]
            both.trunk.pump()
            if not message["more_body"]:
                break
        assert len(body) == 600_000

    played(scenario)
