from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from penstock.api.trunk.v1 import trunk_pb2
from penstock.close_codes import EndCode
from penstock.trunk.batch import Kind
from penstock.trunk.endpoint import Endpoint
from penstock.trunk.limits import ITEM_COST, WINDOW_BYTES
from penstock.trunk.stream import TrunkStream
from penstock_runner.stream import ClientDisconnectedError, MessageTooBigError, ModelStream
from penstock_runner.websocket import make_websocket
from penstock_testing.client_side import ClientSide, MemoryTrunk, settle
from penstock_testing.virtual_time import run_virtual


class Both:
    """A client and a model on one stream."""

    def __init__(self, message_bytes_max: int = 100 * 1024 * 1024) -> None:
        self.left = 0
        self.trunk = MemoryTrunk(self._on_open)
        self.model: ModelStream
        self.ws: WebSocket
        self.client: ClientSide = self.trunk.open(message_bytes_max=message_bytes_max)
        assert self.client.is_accepted

    def _on_open(self, endpoint: Endpoint, stream: TrunkStream, request: trunk_pb2.OpenStream) -> None:
        self.model = ModelStream(stream, asyncio.get_running_loop(), request.message_bytes_max, self._left)
        stream.sink = self.model
        self.ws = make_websocket(request, self.model)
        endpoint.accept(stream, trunk_pb2.AcceptStream())

    def _left(self) -> None:
        self.left += 1


def is_over(websocket: WebSocket) -> bool:
    return websocket.client_state is WebSocketState.DISCONNECTED


def model_test(test: Callable[[Both], Awaitable[None]]) -> Callable[[], None]:
    def run() -> None:
        async def main() -> None:
            await test(Both())

        run_virtual(main())

    run.__name__ = test.__name__
    run.__doc__ = test.__doc__
    return run


@model_test
async def test_messages_come_as_asgi_names_them_with_a_single_key(both: Both) -> None:
    both.client.send("héllo")
    both.client.send(b"\x00\xff")
    both.client.send("")
    both.client.send(b"")

    assert [await both.ws.receive() for _ in range(4)] == [
        {"type": "websocket.receive", "text": "héllo"},
        {"type": "websocket.receive", "bytes": b"\x00\xff"},
        {"type": "websocket.receive", "text": ""},
        {"type": "websocket.receive", "bytes": b""},
    ]


@model_test
async def test_every_way_of_receiving_works(both: Both) -> None:
    for message in ("a", b"b", '{"c": 1}', b'{"d": 2}', "e", "f"):
        both.client.send(message)

    assert await both.ws.receive_text() == "a"
    assert await both.ws.receive_bytes() == b"b"
    assert await both.ws.receive_json() == {"c": 1}
    assert await both.ws.receive_json(mode="binary") == {"d": 2}
    both.client.close()
    assert [text async for text in both.ws.iter_text()] == ["e", "f"]


@model_test
async def test_the_wrong_kind_of_message_is_a_key_error(both: Both) -> None:
    both.client.send(b"bytes")
    both.client.send("text")

    with pytest.raises(KeyError, match="text"):
        await both.ws.receive_text()
    with pytest.raises(KeyError, match="bytes"):
        await both.ws.receive_bytes()


@model_test
async def test_every_way_of_sending_works(both: Both) -> None:
    await both.ws.send_text("té")
    await both.ws.send_bytes(b"\xff")
    await both.ws.send_bytes(memoryview(b"view"))  # type: ignore[arg-type]  # any buffer
    await both.ws.send_json({"é": [1, 2]})
    await both.ws.send_json({"b": 1}, mode="binary")
    await both.ws.send({"type": "websocket.send", "text": "raw"})
    await both.ws.send({"type": "websocket.send", "bytes": None, "text": "none"})
    await both.ws.send({"type": "websocket.send", "bytes": b"", "text": "ignored"})
    await settle()

    assert both.client.messages == [
        (Kind.TEXT, "té".encode()),
        (Kind.BINARY, b"\xff"),
        (Kind.BINARY, b"view"),
        (Kind.TEXT, '{"é":[1,2]}'.encode()),
        (Kind.BINARY, b'{"b":1}'),
        (Kind.TEXT, b"raw"),
        (Kind.TEXT, b"none"),
        (Kind.BINARY, b""),
    ]


@model_test
async def test_a_waiting_receive_gets_the_next_message(both: Both) -> None:
    waiting = asyncio.create_task(both.ws.receive_text())
    await settle()
    assert not waiting.done()

    both.client.send("now")

    assert await waiting == "now"


@model_test
async def test_messages_before_a_disconnect_are_handed_out_first(both: Both) -> None:
    both.client.send("last")
    both.client.close(3000, "bye")

    assert await both.ws.receive_text() == "last"
    assert not is_over(both.ws)
    assert not both.model.is_disconnect_told
    assert await both.ws.receive() == {"type": "websocket.disconnect", "code": 3000, "reason": "bye"}
    assert is_over(both.ws)
    assert both.model.is_disconnect_told
    with pytest.raises(RuntimeError, match=r'Cannot call "receive" once a disconnect message has been received\.'):
        await both.ws.receive()


@model_test
async def test_the_channel_itself_tells_of_a_disconnect_every_time(both: Both) -> None:
    both.client.vanish()

    for _ in range(3):
        assert await both.model.receive() == {"type": "websocket.disconnect", "code": 1006, "reason": ""}
    assert both.left == 1


@model_test
async def test_a_disconnect_ends_a_waiting_receive(both: Both) -> None:
    waiting = asyncio.create_task(both.ws.receive_text())
    await settle()

    both.client.close(4001, "why")

    with pytest.raises(WebSocketDisconnect) as ended:
        await waiting
    assert (ended.value.code, ended.value.reason) == (4001, "why")


@model_test
async def test_a_lost_trunk_is_a_disconnect_with_1006(both: Both) -> None:
    waiting = asyncio.create_task(both.ws.receive_text())
    await settle()

    both.trunk.lose()

    with pytest.raises(WebSocketDisconnect) as ended:
        await waiting
    assert ended.value.code == 1006
    assert both.left == 1


@model_test
async def test_send_after_the_client_left_is_a_disconnect_with_1006(both: Both) -> None:
    both.client.vanish()

    with pytest.raises(WebSocketDisconnect) as ended:
        await both.ws.send_text("x")

    assert ended.value.code == 1006
    assert both.model.is_disconnect_told
    assert issubclass(ClientDisconnectedError, OSError), "that is how Starlette knows"


@model_test
async def test_send_after_ones_own_close_is_a_runtime_error(both: Both) -> None:
    await both.ws.close()

    with pytest.raises(RuntimeError, match=r'Cannot call "send" once a close message has been sent\.'):
        await both.ws.send_text("x")
    with pytest.raises(RuntimeError, match=r'Cannot call "send" once a close message has been sent\.'):
        await both.ws.close()


@model_test
async def test_accepting_again_is_a_runtime_error(both: Both) -> None:
    with pytest.raises(RuntimeError):
        await both.ws.accept()


@model_test
async def test_a_denial_after_the_upgrade_is_a_runtime_error(both: Both) -> None:
    from starlette.responses import PlainTextResponse

    with pytest.raises(RuntimeError):
        await both.ws.send_denial_response(PlainTextResponse("no"))


@model_test
async def test_unknown_messages_are_a_runtime_error(both: Both) -> None:
    with pytest.raises(RuntimeError, match=r"cannot send 'websocket\.accept'"):
        await both.model.send({"type": "websocket.accept"})
    with pytest.raises(KeyError):
        await both.model.send({"type": "websocket.send"})


@model_test
async def test_close_of_the_model_goes_out_as_it_is_behind_its_messages(both: Both) -> None:
    await both.ws.send_text("last")
    await both.ws.close(4321, "wörds")
    await settle()

    assert both.client.messages == [(Kind.TEXT, b"last")]
    assert both.client.closing == (EndCode.MODEL_CLOSED, 4321, "wörds")
    both.client.close(4321)
    assert await both.ws.receive() == {"type": "websocket.disconnect", "code": 4321, "reason": ""}


@model_test
async def test_close_without_arguments_is_1000(both: Both) -> None:
    await both.ws.close()
    await settle()

    assert both.client.closing == (EndCode.MODEL_CLOSED, 1000, "")


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 2999, 5000])
def test_codes_that_may_not_stand_in_a_close_frame_are_a_runtime_error(code: int) -> None:
    async def main() -> None:
        both = Both()
        with pytest.raises(RuntimeError, match=f"cannot close with code {code}"):
            await both.ws.close(code)
        await settle()
        assert both.client.closing is None

    run_virtual(main())


@model_test
async def test_only_the_first_close_counts(both: Both) -> None:
    both.model.close(EndCode.MODEL_ERROR, 1011, "first")
    both.model.close(EndCode.COMPLETED, 1000, "second")
    await settle()

    assert both.client.closing == (EndCode.MODEL_ERROR, 1011, "first")


def test_a_message_above_the_limit_closes_with_1009() -> None:
    async def main() -> None:
        both = Both(message_bytes_max=10)
        await both.ws.send_text("x" * 10)
        with pytest.raises(MessageTooBigError, match=r"11 bytes exceeds the limit of 10 \(penstock.limits"):
            await both.ws.send_bytes(b"x" * 11)
        await settle()
        assert both.client.messages == [(Kind.TEXT, b"x" * 10)]
        assert both.client.closing == (EndCode.MESSAGE_TOO_BIG, 1009, "Message is larger than the limit.")

    run_virtual(main())


@model_test
async def test_send_waits_for_a_slow_client_and_goes_on(both: Both) -> None:
    both.client.consumes = False
    sent = 0

    async def send_all() -> None:
        nonlocal sent
        for _ in range(100):
            await both.ws.send_bytes(bytes(20_000))
            sent += 1

    sending = asyncio.create_task(send_all())
    await settle()
    assert not sending.done()
    assert sum(len(data) for _, data in both.client.segments) <= WINDOW_BYTES
    assert sent <= WINDOW_BYTES // 20_000 + 1

    both.client.take()
    await sending
    await settle()

    assert len(both.client.messages) == 100


@model_test
async def test_a_send_that_waits_ends_when_the_client_leaves(both: Both) -> None:
    both.client.consumes = False
    sending = [asyncio.create_task(both.ws.send_bytes(bytes(WINDOW_BYTES))) for _ in range(3)]
    await settle()

    both.client.vanish()

    for task in sending:
        with pytest.raises(WebSocketDisconnect):
            await task


@model_test
async def test_a_cancelled_send_harms_nobody(both: Both) -> None:
    both.client.consumes = False
    first = asyncio.create_task(both.ws.send_bytes(b"a" * WINDOW_BYTES))
    second = asyncio.create_task(both.ws.send_bytes(b"b"))
    await settle()
    first.cancel()
    await settle()
    assert first.cancelled() and not second.done()

    both.client.take()
    await second
    await settle()

    assert [data[:1] for _, data in both.client.messages] == [b"a", b"b"]


@model_test
async def test_a_cancelled_receive_loses_no_message(both: Both) -> None:
    waiting = asyncio.create_task(both.ws.receive_text())
    await settle()
    both.client.send("kept")
    waiting.cancel()
    await asyncio.wait([waiting])

    if waiting.cancelled():
        assert await both.ws.receive_text() == "kept"
    else:
        assert waiting.result() == "kept"
    again = asyncio.create_task(both.ws.receive_text())
    await settle()
    again.cancel()
    await asyncio.wait([again])
    both.client.send("next")
    assert await both.ws.receive_text() == "next"


@model_test
async def test_two_receives_at_once_are_a_clear_error(both: Both) -> None:
    first = asyncio.create_task(both.ws.receive_text())
    await settle()

    with pytest.raises(RuntimeError, match="another task of this handler is already waiting"):
        await both.ws.receive_text()

    both.client.send("for the first")
    assert await first == "for the first"


@model_test
async def test_a_message_larger_than_the_window_passes_both_ways(both: Both) -> None:
    data = bytes(range(256)) * (5 * WINDOW_BYTES // 256)
    both.client.send(data)
    both.client.send("after")

    assert await both.ws.receive_bytes() == data
    assert await both.ws.receive_text() == "after"
    await both.ws.send_bytes(data)
    await settle()
    assert both.client.messages == [(Kind.BINARY, data)]
    both.trunk.pump()
    assert_credit_is_back(both)


@model_test
async def test_a_large_text_is_put_together_across_characters(both: Both) -> None:
    text = "€" * WINDOW_BYTES
    both.client.send(text)

    assert await both.ws.receive_text() == text


@model_test
async def test_a_large_message_behind_small_ones_does_not_stall(both: Both) -> None:
    """Its credit is returned when the model has taken what came before it."""
    for number in range(3):
        both.client.send(str(number))
    both.client.send(bytes(3 * WINDOW_BYTES))

    assert [await both.ws.receive_text() for _ in range(3)] == ["0", "1", "2"]
    both.trunk.pump()
    assert len(await both.ws.receive_bytes()) == 3 * WINDOW_BYTES
    both.trunk.pump()
    assert_credit_is_back(both)


@model_test
async def test_a_model_that_receives_nothing_stops_its_client(both: Both) -> None:
    count = 0
    while both.client.send(bytes(1000)):
        count += 1
        assert count <= WINDOW_BYTES // 1000

    while both.client.stream.is_blocked:
        await both.ws.receive_bytes()
        await settle()


def assert_credit_is_back(both: Both) -> None:
    """What is not returned yet is below the amount that is worth a return."""
    assert both.client.stream.send_credit > WINDOW_BYTES - WINDOW_BYTES // 4
    assert both.model.trunk_stream.send_credit > WINDOW_BYTES - WINDOW_BYTES // 4


SIZES = [0, 1, 1000, 70_000, WINDOW_BYTES - ITEM_COST, WINDOW_BYTES, 900_000]


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0, 1, 1000, 70_000, WINDOW_BYTES - ITEM_COST, WINDOW_BYTES, 900_000]), st.booleans()
        ),
        max_size=12,
    ),
    st.data(),
)
def test_order_and_boundaries_survive_any_pace_and_no_credit_is_lost(
    sizes: list[tuple[int, bool]], data: st.DataObject
) -> None:
    async def main() -> None:
        both = Both()
        sent = [
            chr(97 + index % 26) * size if text else bytes([index]) * size for index, (size, text) in enumerate(sizes)
        ]
        got: list[str | bytes] = []

        async def take() -> None:
            message = await both.ws.receive()
            got.append(message["text"] if "text" in message else message["bytes"])

        for message in sent:
            both.client.send(message)
            for _ in range(data.draw(st.integers(0, 2))):
                if both.model._inbox:
                    await take()
        while len(got) < len(sent):
            both.trunk.pump()
            async with asyncio.timeout(5):
                await take()
        both.trunk.pump()
        assert got == sent
        assert_credit_is_back(both)

    run_virtual(main())


@model_test
async def test_handlers_may_put_attributes_on_the_websocket(both: Both) -> None:
    async def is_disconnected() -> bool:
        return both.ws.client_state is WebSocketState.DISCONNECTED

    anything: Any = both.ws
    anything.is_disconnected = is_disconnected

    assert await anything.is_disconnected() is False


@model_test
async def test_json_is_compact_and_keeps_letters(both: Both) -> None:
    await both.ws.send_json({"a": "ü"})
    await settle()

    assert json.loads(both.client.messages[0][1]) == {"a": "ü"}
    assert both.client.messages[0][1] == '{"a":"ü"}'.encode()
