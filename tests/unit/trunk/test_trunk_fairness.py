from __future__ import annotations

from collections import Counter

import pytest

from penstock.trunk.batch import Batch, Kind
from penstock.trunk.endpoint import Role
from penstock.trunk.limits import BATCH_BYTES_MAX, QUANTUM_BYTES, SEGMENT_BYTES_MIN, WINDOW_BYTES
from penstock_testing.trunk_pair import RecordingSink, TrunkPair

TURN_BYTES_MAX = QUANTUM_BYTES + SEGMENT_BYTES_MIN
"""The most that one stream adds in its turn."""


def connected(streams: int) -> tuple[TrunkPair, list[RecordingSink]]:
    pair = TrunkPair()
    pair.settle()
    sinks = [pair.open() for _ in range(streams)]
    pair.settle()
    return pair, sinks


def next_batch(pair: TrunkPair) -> Batch:
    """Takes a batch of the edge, delivers it, and brings the credit back."""
    assert pair.take(Role.EDGE)
    batch = pair.wire(Role.EDGE)[-1]
    assert pair.deliver(Role.RUNNER) is None
    while pair.take(Role.RUNNER):
        assert pair.deliver(Role.EDGE) is None
    return batch


def bytes_ahead(batch: Batch, stream_id: int) -> int:
    """Data in front of the first item of a stream; the stream has to be in the batch."""
    return sum(map(len, batch.data[: batch.stream.index(stream_id)]))


def test_a_stream_that_is_never_consumed_does_not_stop_another() -> None:
    pair, (stalled, lively) = connected(2)
    pair.runner_sinks[stalled.trunk_stream.id].consumes = False

    stalled.trunk_stream.send(Kind.BINARY, bytes(5 * WINDOW_BYTES))
    for number in range(2000):
        lively.trunk_stream.send(Kind.BINARY, number.to_bytes(4, "big") * 1000)
        pair.settle()

    assert stalled.trunk_stream.is_blocked
    assert sum(pair.runner_sinks[1].held) <= WINDOW_BYTES
    assert len(pair.runner_sinks[2].messages) == 2000


def test_a_stalled_stream_is_held_up_to_its_window_and_no_more() -> None:
    pair, sinks = connected(20)
    for sink in sinks:
        pair.runner_sinks[sink.trunk_stream.id].consumes = False
        for _ in range(100):
            sink.trunk_stream.send(Kind.BINARY, bytes(QUANTUM_BYTES))
    pair.settle()

    for sink in pair.runner_sinks.values():
        assert WINDOW_BYTES - TURN_BYTES_MAX < sum(sink.held) <= WINDOW_BYTES


@pytest.mark.parametrize("streams", [1, 2, 5, 20])
@pytest.mark.parametrize("size", [1000, 100_000, 10_000_000])
def test_a_small_message_waits_for_one_turn_of_each_backlogged_stream(streams: int, size: int) -> None:
    pair, (small, *busy) = connected(streams + 1)
    for sink in busy:
        for _ in range(max(1, 1_500_000 // size)):
            sink.trunk_stream.send(Kind.BINARY, bytes(size))

    waits = []
    for _ in range(20):
        small.trunk_stream.send(Kind.BINARY, b"now")
        ahead = 0
        while small.trunk_stream.id not in (batch := next_batch(pair)).stream:
            ahead += sum(map(len, batch.data))
        waits.append(ahead + bytes_ahead(batch, small.trunk_stream.id))

    # The first one finds the batch filled to its limit by what was sent without waiting.
    assert waits[0] <= BATCH_BYTES_MAX + streams * TURN_BYTES_MAX
    assert max(waits[1:]) <= streams * TURN_BYTES_MAX


def test_a_message_of_100_mib_does_not_delay_the_frames_of_another_stream() -> None:
    """The receivers take everything at once: the large message is never short of credit for long."""
    pair, (large, voice) = connected(2)
    data = bytes(100 * 1024 * 1024)
    frame = bytes(640)
    large.trunk_stream.send(Kind.BINARY, data)

    waits = []
    while large.trunk_stream.is_blocked:
        voice.trunk_stream.send(Kind.BINARY, frame)
        waits.append(bytes_ahead(next_batch(pair), voice.trunk_stream.id))
    pair.settle()

    assert max(waits) <= TURN_BYTES_MAX
    assert pair.runner_sinks[1].messages == [(Kind.BINARY, data)]
    assert pair.runner_sinks[2].messages == [(Kind.BINARY, frame)] * len(waits)


def test_backlogged_streams_share_alike_whatever_the_size_of_their_messages() -> None:
    pair, sinks = connected(4)
    for sink, size in zip(sinks, (900, 40_000, 250_000, 8_000_000), strict=True):
        for _ in range(8_000_000 // size):
            sink.trunk_stream.send(Kind.BINARY, bytes(size))
    next_batch(pair)  # what was sent without waiting

    shares: Counter[int] = Counter()
    while shares.total() < 16_000_000:
        batch = next_batch(pair)
        for stream, data in zip(batch.stream, batch.data, strict=True):
            shares[stream] += len(data)

    # A turn may exceed the quantum by a short segment, and the cost of small items is shared too.
    assert len(shares) == len(sinks)
    assert min(shares.values()) > 0.7 * max(shares.values())


def test_a_stream_alone_is_not_cut_finely() -> None:
    pair, (alone,) = connected(1)
    alone.trunk_stream.send(Kind.BINARY, bytes(8 * 1024 * 1024))
    pair.settle()

    segments = pair.runner_sinks[1].segments

    assert sum(length for _, length in segments) / len(segments) > 2 * QUANTUM_BYTES
