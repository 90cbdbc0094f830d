from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from penstock.api.control.v1 import control_pb2
from penstock.close_codes import TABLE, EndCode
from penstock_edge import open_streams as module
from penstock_edge.open_streams import OpenStreams, address_text
from penstock_testing.client_streams import FakeClientStream, deployment, end_streams, list_streams, registry
from penstock_testing.virtual_time import run_virtual


def listed(streams: OpenStreams, **query: object) -> control_pb2.OpenStreamList:
    return run_virtual(list_streams(streams, **query))


def ended(streams: OpenStreams, ids: Iterable[str], close_code: int = 0, reason: str = "") -> list[str]:
    return run_virtual(end_streams(streams, ids, close_code, reason))


def ids(answer: control_pb2.OpenStreamList) -> list[str]:
    return [view.stream_id for view in answer.streams]


def many(count: int) -> list[FakeClientStream]:
    return [FakeClientStream(f"s-{number}") for number in range(count)]


def test_a_stream_is_told_with_all_that_the_edge_knows_of_it() -> None:
    stream = FakeClientStream(opened_at=10.0, last_message_at=11.5, client="[::1]:80")

    answer = listed(registry(stream, now=12.25))

    (view,) = answer.streams
    assert answer.matching == 1
    assert (view.stream_id, view.deployment_id, view.replica_id, view.edge_id) == ("s-1", "echo-1", "r-1", "edge-test")
    assert (view.transport, view.client) == ("websocket", "[::1]:80")
    assert (view.age.ToMilliseconds(), view.silent_for.ToMilliseconds()) == (2250, 750)
    assert (view.bytes_in, view.bytes_out, view.messages_in, view.messages_out) == (100, 200, 3, 4)


def test_a_message_that_comes_while_the_list_is_made_is_no_negative_silence() -> None:
    (view,) = listed(registry(FakeClientStream(last_message_at=5.0), now=4.0)).streams

    assert view.silent_for.ToMilliseconds() == 0


@given(
    opened=st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xy"), st.booleans()), max_size=40),
    of=st.sampled_from(["", "a", "b", "c"]),
    on=st.sampled_from(["", "x", "y", "z"]),
    limit=st.integers(0, 50),
)
def test_a_list_is_the_oldest_of_those_that_match_and_are_still_open(
    opened: list[tuple[str, str, bool]], of: str, on: str, limit: int
) -> None:
    made = [
        FakeClientStream(f"s-{number}", deployment(of_deployment), on_replica)
        for number, (of_deployment, on_replica, _) in enumerate(opened)
    ]
    streams = registry(*made)
    for stream, (_, _, is_over) in zip(made, opened, strict=True):
        if is_over:
            streams.remove(stream)
    expected = [
        f"s-{number}"
        for number, (of_deployment, on_replica, is_over) in enumerate(opened)
        if not is_over and of in ("", of_deployment) and on in ("", on_replica)
    ]

    answer = listed(streams, deployment_id=of, replica_id=on, limit=limit)

    assert ids(answer) == expected[: limit or None]
    assert answer.matching == len(expected)
    assert len(streams) == sum(not is_over for _, _, is_over in opened)


@pytest.mark.parametrize(("limit", "expected"), [(0, 1_000), (1, 1), (10_000, 10_000), (2**32 - 1, 10_000)])
def test_a_list_is_never_longer_than_its_limit(limit: int, expected: int) -> None:
    answer = listed(registry(*many(10_050)), limit=limit)

    assert (len(answer.streams), answer.matching) == (expected, 10_050)


def test_the_answer_stays_below_the_size_that_the_controller_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_BYTES_MAX", 10_000)
    streams = [FakeClientStream(f"s-{number}", replica_id="r" * 1_000) for number in range(30)]

    answer = listed(registry(*streams))

    assert 5 < len(answer.streams) <= 10
    assert answer.ByteSize() < 12_000
    assert answer.matching == 30


def test_the_loop_goes_on_while_a_long_list_is_made_and_what_ends_meanwhile_is_not_in_it() -> None:
    made = many(5_000)
    streams = registry(*made)

    async def main() -> tuple[control_pb2.OpenStreamList, int]:
        asking = asyncio.create_task(list_streams(streams, limit=5_000))
        turns = 0
        while not asking.done():
            await asyncio.sleep(0)
            turns += 1
            if turns == 3:
                streams.remove(made[0])
                streams.remove(made[4_000])
                streams.add(FakeClientStream("late"))
        return asking.result(), turns

    answer, turns = run_virtual(main())

    assert turns >= 5_000 // module.LOOKED_AT_PER_TURN
    assert ids(answer)[0] == "s-0", "it was there when its turn came"
    assert {"s-4000", "late"} & set(ids(answer)) == set()
    assert answer.matching == 4_999


def test_an_operator_ends_the_streams_that_are_named_and_no_other() -> None:
    named, closing, other = many(3)
    closing.ended = (1000, "")

    with structlog.testing.capture_logs() as logs:
        told = ended(registry(named, closing, other), ["s-0", "elsewhere", "s-1", "s-0"], 4001, "maintenance")

    assert told == ["s-0"]
    assert (named.ended, closing.ended, other.ended) == ((4001, "maintenance"), (1000, ""), None)
    (entry,) = logs
    assert entry == {
        "event": "operator_closed_streams",
        "log_level": "info",
        "asked": 4,
        "closed": 1,
        "close_code": 4001,
    }


@pytest.mark.parametrize(
    ("close_code", "reason", "expected"),
    [
        (0, "", (1012, TABLE[EndCode.OPERATOR_CLOSED].reason)),
        (1012, "", (1012, TABLE[EndCode.OPERATOR_CLOSED].reason)),
        (0, "later", (1012, "later")),
        (1000, "", (1000, "")),
        (4999, "ü" * 100, (4999, "ü" * 61)),
    ],
)
def test_code_and_reason_have_their_defaults_and_bounds(
    close_code: int, reason: str, expected: tuple[int, str]
) -> None:
    stream = FakeClientStream()

    assert ended(registry(stream), ["s-1"], close_code, reason) == ["s-1"]
    assert stream.ended == expected


@pytest.mark.parametrize("close_code", [1, 999, 1004, 1005, 1006, 1015, 2000, 5000, 2**32 - 1])
def test_a_close_code_that_may_not_be_sent_ends_nothing_and_is_logged(close_code: int) -> None:
    stream = FakeClientStream()

    with structlog.testing.capture_logs() as logs:
        assert ended(registry(stream), ["s-1"], close_code) == []

    assert stream.ended is None
    assert [(entry["event"], entry["close_code"]) for entry in logs] == [("operator_close_refused", close_code)]


def test_ids_beyond_the_limit_of_one_order_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ENDED_MAX", 3)
    made = many(5)

    assert ended(registry(*made), [stream.stream_id for stream in made]) == ["s-0", "s-1", "s-2"]
    assert [stream.ended is None for stream in made] == [False, False, False, True, True]


def test_the_loop_goes_on_while_many_streams_are_ended() -> None:
    made = many(1_000)
    names = [stream.stream_id for stream in made]

    async def main() -> int:
        ending = asyncio.create_task(end_streams(registry(*made), names))
        turns = 0
        while not ending.done():
            await asyncio.sleep(0)
            turns += 1
        return turns

    assert run_virtual(main()) >= 1_000 // module.ENDED_PER_TURN


def test_addresses_are_written_as_urls_have_them() -> None:
    assert address_text("10.0.0.1", 80) == "10.0.0.1:80"
    assert address_text("::1", 80) == "[::1]:80"
