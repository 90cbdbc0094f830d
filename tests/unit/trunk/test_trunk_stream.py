from __future__ import annotations

import pytest

from penstock.close_codes import ABNORMAL, EndCode
from penstock.trunk.batch import Kind
from penstock.trunk.endpoint import Role
from penstock.trunk.limits import (
    BATCH_ITEMS_MAX,
    CREDIT_RETURN_BYTES,
    ITEM_COST,
    SEGMENT_BYTES_MAX,
    SEGMENT_BYTES_MIN,
    WINDOW_BYTES,
    WINDOW_BYTES_MIN,
)
from penstock.trunk.stream import NO_SINK
from penstock_testing.trunk_pair import RecordingSink, TrunkPair

SEGMENT_KINDS = {Kind.BINARY: Kind.BINARY_FIRST, Kind.TEXT: Kind.TEXT_FIRST}


def connected(
    *, consumes: bool = True, window_bytes: int = WINDOW_BYTES
) -> tuple[TrunkPair, RecordingSink, RecordingSink]:
    pair = TrunkPair(consumes=consumes, window_bytes=window_bytes)
    pair.settle()
    return pair, *pair.connect()


@pytest.mark.parametrize("kind", [Kind.BINARY, Kind.TEXT])
@pytest.mark.parametrize("size", [0, 1, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MAX + 1, WINDOW_BYTES, 3_000_001])
def test_a_message_arrives_whole_in_its_kind(kind: Kind, size: int) -> None:
    pair, edge, runner = connected()
    data = (b"0123456789abcdef!" * (size // 17 + 1))[:size]

    edge.trunk_stream.send(kind, data)
    pair.settle()

    assert runner.messages == [(kind, data)]
    assert all(length <= SEGMENT_BYTES_MAX for _, length in runner.segments)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("size", [100 * 1024 * 1024])
def test_the_largest_message_passes_both_ways_at_once(size: int) -> None:
    pair, edge, runner = connected()
    data = bytes(size)

    edge.trunk_stream.send(Kind.BINARY, data)
    runner.trunk_stream.send(Kind.TEXT, data)
    pair.settle()

    assert runner.messages == [(Kind.BINARY, data)]
    assert edge.messages == [(Kind.TEXT, data)]
    assert edge.writable == runner.writable == 1


def test_messages_keep_their_order_when_some_have_to_wait() -> None:
    pair, edge, runner = connected()
    sent = [(Kind.BINARY, bytes([number]) * size) for number, size in enumerate([10, 700_000, 0, 20, 300_000, 1])]

    answers = [edge.trunk_stream.send(kind, data) for kind, data in sent]
    pair.settle()

    assert answers == [True, False, False, False, False, False]
    assert runner.messages == sent
    assert edge.writable == 1


def test_a_sender_without_credit_is_told_to_wait_and_when_to_go_on() -> None:
    pair, edge, runner = connected(consumes=False)
    stream = edge.trunk_stream
    assert stream.send(Kind.BINARY, bytes(SEGMENT_BYTES_MAX - ITEM_COST))
    assert stream.send(Kind.BINARY, bytes(SEGMENT_BYTES_MAX - ITEM_COST))
    assert stream.send_credit == 0
    assert not stream.send(Kind.BINARY, b"")
    pair.settle()
    assert stream.is_blocked and edge.writable == 0

    runner.consume()
    pair.settle()

    assert not stream.is_blocked and edge.writable == 1
    assert len(runner.messages) == 3


def test_empty_messages_cost_credit_too() -> None:
    pair, edge, runner = connected(consumes=False)

    while edge.trunk_stream.send(Kind.TEXT, b""):
        pair.settle()

    assert len(runner.messages) == WINDOW_BYTES // ITEM_COST


def test_a_message_is_cut_to_the_credit_at_hand_but_not_into_crumbs() -> None:
    pair, edge, runner = connected(consumes=False)
    stream = edge.trunk_stream
    stream.send(Kind.BINARY, bytes(SEGMENT_BYTES_MAX))
    pair.settle()
    rest = stream.send_credit
    assert rest < SEGMENT_BYTES_MAX + ITEM_COST

    stream.send(Kind.BINARY, bytes(SEGMENT_BYTES_MAX))
    pair.settle()
    assert runner.segments[-1] == (Kind.BINARY_FIRST, rest - ITEM_COST)

    pair, edge, runner = connected(consumes=False)
    edge.trunk_stream.send(Kind.BINARY, bytes(SEGMENT_BYTES_MAX))
    edge.trunk_stream.send(Kind.BINARY, bytes(SEGMENT_BYTES_MAX - SEGMENT_BYTES_MIN - 2 * ITEM_COST))
    edge.trunk_stream.send(Kind.BINARY, bytes(SEGMENT_BYTES_MIN))
    pair.settle()
    assert len(runner.segments) == 2
    assert edge.trunk_stream.is_blocked and edge.trunk_stream.send_credit == SEGMENT_BYTES_MIN


def test_a_small_message_does_not_overtake_one_that_waits_for_credit() -> None:
    pair, edge, runner = connected(consumes=False)
    sizes = [SEGMENT_BYTES_MAX - 4096, SEGMENT_BYTES_MAX - 4096, SEGMENT_BYTES_MIN, 100]

    answers = [edge.trunk_stream.send(Kind.BINARY, bytes(size)) for size in sizes]
    pair.settle()

    assert answers == [True, True, False, False]
    assert edge.trunk_stream.send_credit > 100 + ITEM_COST
    assert [len(data) for _, data in runner.messages] == sizes[:2]
    runner.consume()
    pair.settle()
    assert [len(data) for _, data in runner.messages] == sizes


@pytest.mark.parametrize("window_bytes", [WINDOW_BYTES_MIN, WINDOW_BYTES_MIN + ITEM_COST, WINDOW_BYTES])
@pytest.mark.parametrize("kind", SEGMENT_KINDS)
def test_segments_of_any_length_pass_any_window(window_bytes: int, kind: Kind) -> None:
    """The receiver owes up to CREDIT_RETURN_BYTES: a segment that needs the whole window must be cut, not wait."""
    pair, edge, runner = connected(window_bytes=window_bytes)
    edge.trunk_stream.send(Kind.BINARY, bytes(CREDIT_RETURN_BYTES - 2 * ITEM_COST))
    pair.settle()

    edge.trunk_stream.send(SEGMENT_KINDS[kind], b"1" * SEGMENT_BYTES_MAX)
    pair.settle()
    edge.trunk_stream.send(Kind.MIDDLE, b"2" * (3 * SEGMENT_BYTES_MAX))
    pair.settle()
    edge.trunk_stream.send(Kind.LAST, b"3" * SEGMENT_BYTES_MAX)
    pair.settle()

    assert not edge.trunk_stream.is_blocked
    assert runner.messages[1:] == [
        (kind, b"1" * SEGMENT_BYTES_MAX + b"2" * (3 * SEGMENT_BYTES_MAX) + b"3" * SEGMENT_BYTES_MAX)
    ]


def test_credit_comes_back_in_few_items() -> None:
    pair, edge, _ = connected()
    for _ in range(100):
        edge.trunk_stream.send(Kind.BINARY, bytes(1000))
    pair.take(Role.EDGE)
    pair.deliver(Role.RUNNER)

    assert not pair.take(Role.RUNNER)
    assert edge.trunk_stream.send_credit == WINDOW_BYTES - 100 * (1000 + ITEM_COST)


def test_close_keeps_code_and_reason_and_comes_behind_the_data() -> None:
    pair, edge, runner = connected(consumes=False)
    data = bytes(2 * WINDOW_BYTES)
    edge.trunk_stream.send(Kind.BINARY, data)
    edge.trunk_stream.close(EndCode.CLIENT_CLOSED, 4321, "bye ü")
    pair.settle()
    assert not runner.closings

    while runner.held:
        runner.consume()
        pair.settle()

    assert runner.messages == [(Kind.BINARY, data)]
    assert runner.closings == [(EndCode.CLIENT_CLOSED, 4321, "bye ü")]


def test_a_close_that_discards_does_not_wait_for_the_data() -> None:
    pair, edge, runner = connected(consumes=False)
    edge.trunk_stream.send(Kind.BINARY, bytes(2 * WINDOW_BYTES))
    pair.settle()

    edge.trunk_stream.close(EndCode.CLIENT_GONE, ABNORMAL, discard=True)
    pair.settle()

    assert not runner.messages
    assert [closing.close_code for closing in runner.closings] == [ABNORMAL]


def test_nothing_is_sent_after_a_close() -> None:
    pair, edge, runner = connected()
    edge.trunk_stream.close(EndCode.CLIENT_CLOSED, 1000)
    edge.trunk_stream.close(EndCode.CLIENT_GONE, ABNORMAL, discard=True)

    assert edge.trunk_stream.send(Kind.BINARY, b"late")
    pair.settle()

    assert not runner.messages
    assert len(runner.closings) == 1


def test_a_side_that_has_closed_still_takes_what_was_on_its_way() -> None:
    pair, edge, runner = connected()
    runner.trunk_stream.send(Kind.BINARY, b"on its way")
    pair.take(Role.RUNNER)

    edge.trunk_stream.send(Kind.TEXT, b"last words")
    edge.trunk_stream.close(EndCode.CLIENT_CLOSED, 1000)
    pair.settle()

    assert edge.messages == [(Kind.BINARY, b"on its way")]
    assert runner.messages == [(Kind.TEXT, b"last words")]
    assert runner.trunk_stream.send(Kind.BINARY, b"nobody listens any more")
    runner.trunk_stream.close(EndCode.COMPLETED, 1000)
    pair.settle()
    assert len(edge.messages) == 1
    assert not pair.edge.streams and not pair.runner.streams


def test_a_peer_that_closes_makes_queued_data_void_but_not_the_close_behind_it() -> None:
    pair, edge, runner = connected(consumes=False)
    edge.trunk_stream.send(Kind.BINARY, bytes(3 * WINDOW_BYTES))
    edge.trunk_stream.close(EndCode.CLIENT_CLOSED, 1001, "later")
    pair.settle()
    assert edge.trunk_stream.is_blocked

    runner.trunk_stream.close(EndCode.COMPLETED, 1000)
    pair.settle()

    assert [closing.close_code for closing in runner.closings] == [1001]
    assert [closing.close_code for closing in edge.closings] == [1000]
    assert not pair.edge.streams and not pair.runner.streams


def test_an_owner_may_close_from_within_the_news_of_the_close() -> None:
    pair, edge, runner = connected()
    runner.on_told = lambda: runner.trunk_stream.close(EndCode.COMPLETED, 1000)

    edge.trunk_stream.close(EndCode.CLIENT_CLOSED, 1000)
    pair.settle()

    assert len(edge.closings) == len(runner.closings) == 1
    assert not pair.edge.streams and not pair.runner.streams


def test_an_owner_may_send_more_from_within_on_writable() -> None:
    pair, edge, runner = connected()

    class Feeder(RecordingSink):
        left = 2000

        def on_writable(self) -> None:
            while self.left:
                self.left -= 1
                if not self.trunk_stream.send(Kind.BINARY, bytes(5000)):
                    return

    feeder = Feeder()
    feeder.accepts, feeder.is_open = 1, True
    feeder.attach(edge.trunk_stream)
    feeder.trunk_stream.send(Kind.BINARY, bytes(WINDOW_BYTES))
    pair.settle()

    assert feeder.left == 0
    assert len(runner.messages) == 2001


def test_a_stream_that_is_over_lets_go_of_its_owner() -> None:
    pair, edge, runner = connected()

    pair.close_both(1)
    pair.settle()

    assert edge.trunk_stream.sink is runner.trunk_stream.sink is NO_SINK


def test_credit_that_is_consumed_after_the_end_changes_nothing() -> None:
    pair, edge, runner = connected(consumes=False)
    edge.trunk_stream.send(Kind.BINARY, bytes(200_000))
    pair.settle()
    pair.close_both(1)
    pair.settle()

    runner.consume()

    assert not pair.take(Role.RUNNER)


def test_many_discarded_streams_in_the_ring_do_not_hide_the_one_behind_them() -> None:
    pair = TrunkPair()
    pair.settle()
    sinks = [pair.open() for _ in range(3 * BATCH_ITEMS_MAX)]
    pair.settle()
    *leaving, staying = sinks
    for sink in leaving:
        sink.trunk_stream.send(Kind.BINARY, bytes(SEGMENT_BYTES_MAX + 1))
    staying.trunk_stream.send(Kind.BINARY, b"still there")
    assert len(pair.edge.ready) == len(sinks)

    for sink in leaving:
        sink.trunk_stream.close(EndCode.CLIENT_GONE, ABNORMAL, discard=True)
    pair.settle()

    assert pair.runner_sinks[staying.trunk_stream.id].messages == [(Kind.BINARY, b"still there")]
    assert staying.writable == 1 and not pair.edge.ready
