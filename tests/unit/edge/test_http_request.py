from __future__ import annotations

import json

import pytest

from penstock.api.control.v1 import control_pb2
from penstock.close_codes import EndCode
from penstock.trunk.batch import Kind
from penstock_edge.request_call import BODY_PART_BYTES_MAX, BODY_SILENCE_S
from penstock_testing.edge_connection import pass_time
from penstock_testing.edge_kit import ModelSide, duration
from penstock_testing.request_kit import RequestKit, answer, response, settle
from penstock_testing.virtual_time import run_virtual

PREDICT = "/model/echo/predict"
SMALL = control_pb2.StreamSettings(message_bytes_max=1000_000)


def played(scenario: object, *, settings: control_pb2.StreamSettings = SMALL) -> None:
    async def main() -> None:
        kit = RequestKit(settings=settings)
        await scenario(kit)  # type: ignore[operator]  # a coroutine function
        await settle()
        kit.assert_nothing_left()

    run_virtual(main())


def body_of(side: ModelSide) -> bytes:
    """What has come of the request's body, whose end must have come too."""
    parts = [data for _, data in side.take()]
    if side.request.body_follows:
        assert parts.pop() == b""
    return side.request.body + b"".join(parts)


def test_the_model_is_asked_what_the_client_asks() -> None:
    async def scenario(kit: RequestKit) -> None:
        headers = [("X-A", "1"), ("Authorization", "secret"), ("Content-Length", "2"), ("X-Baseten-Request-Id", "r")]
        client = kit.ask(PREDICT + "?a=1", b"{}", headers=headers)
        side = await kit.accepted()
        request = side.request
        assert (request.method, request.model_path, request.query) == ("POST", b"/v1/models/model:predict", b"a=1")
        assert (request.body, request.body_follows) == (b"{}", False)
        assert (request.client.host, request.client.port) == ("10.0.0.1", 999)
        assert [(h.name, h.value) for h in request.headers] == [
            ("host", b"x"),
            ("x-a", b"1"),
            ("x-baseten-request-id", b"r"),
        ]
        answer(side, b'{"b": 2}')
        await client.task
        assert (client.status, client.body) == (200, b'{"b": 2}')
        assert ("x-baseten-request-id", "r") in client.headers
        assert ("x-baseten-model-prediction-attempts", "1") in client.headers
        assert ("content-length", "8") in client.headers

    played(scenario)


def test_a_response_in_parts_keeps_their_boundaries() -> None:
    async def scenario(kit: RequestKit) -> None:
        client = kit.ask()
        side = await kit.accepted()
        side.send(Kind.BINARY, response(200, b"one", more=True))
        for part in (b"two", b"three"):
            side.send(Kind.BINARY, part)
            await settle()
            assert client.sent[-1]["body"] == part, "at once"
        side.close()
        await client.task
        assert [message["body"] for message in client.sent[1:]] == [b"one", b"two", b"three", b""]
        assert "content-length" not in dict(client.headers)

    played(scenario)


@pytest.mark.parametrize("size", [BODY_PART_BYTES_MAX, BODY_PART_BYTES_MAX + 1, 900_000])
@pytest.mark.parametrize("part", [10_000, 300_000, 1000_000])
def test_a_body_of_any_size_in_any_parts_arrives(size: int, part: int) -> None:
    async def scenario(kit: RequestKit) -> None:
        whole = bytes(range(256)) * (size // 256) + bytes(size % 256)
        client = kit.ask(body=whole[:part], more_body=part < size)
        for start in range(part, size, part):
            client.send_body(whole[start : start + part], more_body=start + part < size)
        side = await kit.accepted()
        assert len(side.request.body) <= BODY_PART_BYTES_MAX
        received = bytearray(side.request.body)
        if side.request.body_follows:
            while True:
                await settle()
                kit.runners["r1"].pump()
                taken = [data for _, data in side.take()]
                received += b"".join(taken)
                if taken and not taken[-1]:
                    break
        assert received == whole
        answer(side, b"1")
        await client.task
        assert client.status == 200

    played(scenario)


def test_a_slow_body_holds_no_slot() -> None:
    async def scenario(kit: RequestKit) -> None:
        client = kit.ask(body=b"x", more_body=True)
        await settle()
        assert kit.active("r1") == 0 and not kit.runners["r1"].streams
        client.send_body(b"y", more_body=False)
        side = await kit.accepted()
        assert side.request.body == b"xy"
        answer(side, b"1")
        await client.task

    played(scenario)


def test_a_body_that_stops_is_refused() -> None:
    async def scenario(kit: RequestKit) -> None:
        client = kit.ask(body=b"x", more_body=True)
        await client.task
        assert kit.plane.now() == pytest.approx(BODY_SILENCE_S)
        assert (client.status, dict(client.headers)["connection"]) == (408, "close")

    played(scenario)


def test_a_body_that_stops_behind_its_slot_gives_it_back() -> None:
    async def scenario(kit: RequestKit) -> None:
        client = kit.ask(body=bytes(BODY_PART_BYTES_MAX), more_body=True)
        side = await kit.accepted()
        await client.task
        assert client.status == 408
        kit.runners["r1"].pump()
        assert side.closing is not None
        side.close()

    played(scenario)


@pytest.mark.parametrize("first", [1, BODY_PART_BYTES_MAX])
def test_a_chunked_body_beyond_the_limit_is_refused(first: int) -> None:
    async def scenario(kit: RequestKit) -> None:
        client = kit.ask(body=bytes(first), more_body=True)
        client.send_body(bytes(1000_000))
        if first > 1:
            await kit.accepted()
        await client.task
        assert (client.status, dict(client.headers)["connection"]) == (413, "close")
        for side in kit.runners["r1"].streams:
            kit.runners["r1"].pump()
            assert side.closing is not None and side.closing.code is EndCode.MESSAGE_TOO_BIG
            side.close()

    played(scenario)


def test_a_body_that_is_too_large_by_its_own_word_is_not_read() -> None:
    async def scenario(kit: RequestKit) -> None:
        client = kit.ask(headers=[("content-length", "1000001")], more_body=True)
        await client.task
        assert client.status == 413
        assert json.loads(client.body)["code"] == "MESSAGE_TOO_BIG"

    played(scenario)


def test_an_answer_may_come_before_the_whole_body() -> None:
    async def scenario(kit: RequestKit) -> None:
        client = kit.ask(body=bytes(BODY_PART_BYTES_MAX), more_body=True)
        side = await kit.accepted()
        answer(side, b'"no"', 422)
        await client.task
        assert (client.status, client.body) == (422, b'"no"')

    played(scenario)


def test_the_next_replica_is_asked_when_one_is_full() -> None:
    async def main() -> None:
        kit = RequestKit(("r1", 0, 10), ("r2", 5, 10))
        client = kit.ask()
        (await kit.side(0, "r1")).reject("REPLICA_FULL")
        answer(await kit.accepted(0, "r2"), b"1")
        await client.task
        assert client.status == 200
        assert ("x-baseten-model-prediction-attempts", "2") in client.headers
        kit.assert_nothing_left(r2=5)

    run_virtual(main())


def test_a_request_that_its_replica_may_have_died_of_is_not_sent_to_another() -> None:
    async def main() -> None:
        kit = RequestKit(("r1", 0, 10), ("r2", 5, 10))
        client = kit.ask()
        await kit.side(0, "r1")
        kit.runners["r1"].lose()
        await client.task
        assert client.status == 503
        assert json.loads(client.body)["code"] == "REPLICA_LOST"
        assert not kit.runners["r2"].streams
        kit.assert_nothing_left(r2=5)

    run_virtual(main())


def test_a_replica_that_is_lost_before_its_answer_is_a_503() -> None:
    async def scenario(kit: RequestKit) -> None:
        client = kit.ask()
        await kit.accepted()
        kit.runners["r1"].lose()
        await client.task
        assert (client.status, dict(client.headers)["retry-after"]) == (503, "1")
        assert json.loads(client.body)["code"] == "REPLICA_LOST"

    played(scenario)


def test_a_response_that_is_cut_is_never_ended_as_if_whole() -> None:
    async def main() -> None:
        kit = RequestKit()
        client = kit.ask()
        side = await kit.accepted()
        side.send(Kind.BINARY, response(200, b"half", more=True))
        await settle()
        kit.runners["r1"].lose()
        with pytest.raises(ConnectionError):
            await client.task
        assert not client.is_answered
        kit.assert_nothing_left()

    run_virtual(main())


def test_a_model_that_does_not_answer_is_given_up() -> None:
    async def scenario(kit: RequestKit) -> None:
        client = kit.ask()
        side = await kit.accepted()
        await client.task
        assert kit.plane.now() == pytest.approx(7)
        assert client.status == 504
        kit.runners["r1"].pump()
        assert side.closing is not None and side.closing.code is EndCode.REQUEST_TIMEOUT
        side.close()

    played(scenario, settings=control_pb2.StreamSettings(predict_timeout=duration(7)))


def test_a_response_that_has_begun_may_take_any_time() -> None:
    async def scenario(kit: RequestKit) -> None:
        client = kit.ask()
        side = await kit.accepted()
        side.send(Kind.BINARY, response(200, b"a", more=True))
        await pass_time(kit, 100)
        side.send(Kind.BINARY, b"b")
        side.close()
        await client.task
        assert client.body == b"ab"

    played(scenario, settings=control_pb2.StreamSettings(predict_timeout=duration(7)))


def test_no_slot_in_time_and_a_full_line_are_refused() -> None:
    settings = control_pb2.StreamSettings(queue_timeout=duration(5), queue_streams_max=1)

    async def main() -> None:
        kit = RequestKit()
        kit.apply(settings=settings)
        first, second = kit.ask(), kit.ask()
        await second.task
        assert (kit.plane.now(), second.status, json.loads(second.body)["code"]) == (0, 503, "QUEUE_FULL")
        await first.task
        assert kit.plane.now() == pytest.approx(5)
        assert (first.status, json.loads(first.body)["code"]) == (504, "QUEUE_TIMEOUT")

    run_virtual(main())


@pytest.mark.parametrize("is_whole", [True, False])
def test_a_client_that_leaves_during_its_body_asks_nothing(is_whole: bool) -> None:
    async def scenario(kit: RequestKit) -> None:
        client = kit.ask(body=b"x" if is_whole else bytes(BODY_PART_BYTES_MAX), more_body=True)
        side = None if is_whole else await kit.accepted()
        client.leave()
        await client.task
        assert client.sent == []
        if side is not None:
            kit.runners["r1"].pump()
            assert side.closing is not None and side.closing.code is EndCode.CLIENT_GONE
            side.close()

    played(scenario)


def test_looking_at_a_model_without_a_replica_is_answered_at_once() -> None:
    async def main() -> None:
        kit = RequestKit()
        kit.apply()
        client = kit.ask("/model/echo/sync/v1/models/model", b"", method="GET")
        await client.task
        assert (kit.plane.now(), client.status) == (0, 503)
        assert not kit.plane.waiting.has("echo-1"), "it wakes nothing"

    run_virtual(main())


def test_a_draining_edge_refuses_and_finishes_what_it_has() -> None:
    async def scenario(kit: RequestKit) -> None:
        open_one = kit.ask()
        side = await kit.accepted()
        kit.plane.is_draining = True
        late = kit.ask()
        await late.task
        assert late.status == 503
        answer(side, b"1")
        await open_one.task
        assert open_one.status == 200

    played(scenario)


def test_an_operator_sees_a_request_and_can_end_it() -> None:
    async def scenario(kit: RequestKit) -> None:
        client = kit.ask()
        side = await kit.accepted()
        listed = control_pb2.OpenStreamList()
        await kit.plane.open_streams.answer_list(control_pb2.ListOpenStreams(), listed)
        assert [(s.transport, s.client, s.replica_id) for s in listed.streams] == [("http", "10.0.0.1:999", "r1")]
        ended = control_pb2.EndedStreams()
        order = control_pb2.EndOpenStreams(stream_ids=[listed.streams[0].stream_id], reason="maintenance")
        await kit.plane.open_streams.answer_end(order, ended)
        assert list(ended.stream_ids) == [listed.streams[0].stream_id]
        await client.task
        assert client.status >= 400 and b"maintenance" in client.body
        kit.runners["r1"].pump()
        assert side.closing is not None and side.closing.code is EndCode.OPERATOR_CLOSED
        side.close()

    played(scenario)


def test_headers_of_a_model_cannot_forge_others() -> None:
    async def scenario(kit: RequestKit) -> None:
        client = kit.ask()
        side = await kit.accepted()
        headers = [
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
            ("x-bad", "1\r\nset-cookie: c=3"),
            ("x bad", "1"),
            ("transfer-encoding", "chunked"),
            ("content-length", "999"),
        ]
        side.send(Kind.BINARY, response(200, b"12", headers=headers))
        side.close()
        await client.task
        assert [header for header in client.headers if not header[0].startswith("x-baseten")] == [
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
            ("content-length", "2"),
        ]

    played(scenario)


@pytest.mark.parametrize("junk", [b"\xff", response(0, b"x"), response(99, b"x"), response(1000, b"x"), b""])
def test_a_head_that_makes_no_sense_is_an_error_of_the_platform(junk: bytes) -> None:
    async def scenario(kit: RequestKit) -> None:
        client = kit.ask()
        side = await kit.accepted()
        side.send(Kind.BINARY, junk)
        side.close()
        await client.task
        assert client.status == 500

    played(scenario)
