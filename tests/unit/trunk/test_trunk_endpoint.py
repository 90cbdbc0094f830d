from __future__ import annotations

import pytest

from penstock.api.trunk.v1 import trunk_pb2
from penstock.close_codes import ABNORMAL, TABLE, EndCode
from penstock.trunk.batch import Kind, decode
from penstock.trunk.endpoint import Endpoint, Role
from penstock.trunk.limits import BATCH_BYTES_MAX, BATCH_ITEMS_MAX, SEGMENT_BYTES_MAX, STREAM_ID_MAX, STREAMS_MAX
from penstock.trunk.stream import TrunkStream
from penstock_testing.trunk_pair import RecordingSink, TrunkPair


def connected(*, accepts: bool = True, consumes: bool = True) -> TrunkPair:
    pair = TrunkPair(accepts=accepts, consumes=consumes)
    pair.settle()
    return pair


def test_each_side_learns_the_name_and_window_of_the_other() -> None:
    pair = TrunkPair(window_bytes=300_000)

    pair.settle()

    assert (pair.edge.peer_name, pair.runner.peer_name) == ("replica-1", "edge-1")
    assert pair.open().trunk_stream.send_credit == 300_000


def test_the_owner_is_told_when_streams_may_be_opened() -> None:
    told: list[str | None] = []
    edge = Endpoint(Role.EDGE, "edge-1", on_output=lambda: None, on_hello=lambda: told.append(edge.peer_name))
    runner = Endpoint(Role.RUNNER, "replica-1", on_output=lambda: None)
    hello = runner.take_batch()
    assert hello is not None

    edge.receive(hello)

    assert told == ["replica-1"]


def test_streams_cannot_be_opened_before_the_hello_or_by_a_runner_or_on_a_lost_trunk() -> None:
    pair = TrunkPair()
    with pytest.raises(RuntimeError, match="after the Hello"):
        pair.open()
    pair.settle()
    with pytest.raises(RuntimeError, match="opened by an edge"):
        pair.runner.open(trunk_pb2.OpenStream(stream_id="s"))
    pair.edge.lose("call broke")
    with pytest.raises(RuntimeError, match="living trunk"):
        pair.open()


def test_an_edge_does_not_open_more_than_a_trunk_carries() -> None:
    pair = connected()
    pair.edge.last_id = STREAM_ID_MAX
    with pytest.raises(RuntimeError, match="full"):
        pair.open()
    pair.edge.last_id = 0
    pair.edge.streams = dict.fromkeys(range(STREAMS_MAX), pair.open().trunk_stream)
    with pytest.raises(RuntimeError, match="full"):
        pair.open()


def test_the_runner_is_given_what_the_edge_knows_of_a_stream() -> None:
    requests: list[trunk_pb2.OpenStream] = []
    edge = Endpoint(Role.EDGE, "edge-1", on_output=lambda: None)
    runner = Endpoint(
        Role.RUNNER, "replica-1", on_output=lambda: None, on_open=lambda stream, request: requests.append(request)
    )
    for source, target in ((runner, edge), (edge, runner)):
        payload = source.take_batch()
        assert payload is not None and target.receive(payload) is None
    request = trunk_pb2.OpenStream(stream_id="s1", raw_path=b"/a%20b", query=b"\xff=1", subprotocols=["x", "y"])
    edge.open(request)
    payload = edge.take_batch()
    assert payload is not None

    runner.receive(payload)

    assert requests == [request]


def test_a_runner_answers_when_it_likes() -> None:
    pair = connected(accepts=False)
    first, second = pair.open(), pair.open()
    pair.settle()
    assert (first.accepts, second.accepts) == (0, 0)

    pair.accept(2)
    pair.settle()
    assert (first.accepts, second.accepts) == (0, 1)

    pair.accept(1)
    pair.accept(1)
    pair.settle()
    assert (first.accepts, second.accepts) == (1, 1)


def test_a_rejected_stream_is_over_on_both_sides() -> None:
    pair = connected(accepts=False)
    sink = pair.open()
    pair.settle()
    reject = trunk_pb2.RejectStream(code=EndCode.REPLICA_FULL, retry_after_seconds=3)

    pair.runner.reject(pair.runner_sinks[1].trunk_stream, reject)
    pair.settle()

    assert sink.rejects == [reject]
    assert not sink.closings
    assert not pair.edge.streams and not pair.runner.streams


def test_a_close_that_crosses_a_rejection_is_no_fault() -> None:
    pair = connected(accepts=False)
    sink = pair.open()
    pair.settle()

    pair.runner.reject(pair.runner_sinks[1].trunk_stream, trunk_pb2.RejectStream(code=EndCode.REPLICA_FULL))
    sink.trunk_stream.close(EndCode.CLIENT_GONE, ABNORMAL)
    pair.settle()

    assert sink.rejects and not pair.edge.streams


def test_a_runner_may_accept_reject_or_close_a_stream_that_its_client_has_left() -> None:
    pair = connected(accepts=False)
    sinks = [pair.open() for _ in range(3)]
    pair.settle()
    for sink in sinks:
        sink.trunk_stream.close(EndCode.CLIENT_GONE, ABNORMAL)
    pair.settle()
    streams = [pair.runner_sinks[number].trunk_stream for number in (1, 2, 3)]

    pair.accept(1)
    streams[0].close(EndCode.COMPLETED, 1000)
    pair.runner.reject(streams[1], trunk_pb2.RejectStream(code=EndCode.REPLICA_FULL))
    streams[2].close(EndCode.COMPLETED, 1000)
    pair.settle()

    assert [sink.accepts for sink in sinks] == [0, 0, 0]
    assert [len(sink.closings) for sink in sinks] == [1, 0, 1]
    assert not pair.edge.streams and not pair.runner.streams


def test_a_late_rejection_of_an_accepted_stream_does_nothing() -> None:
    pair = connected()
    edge, runner = pair.connect()

    pair.runner.reject(runner.trunk_stream, trunk_pb2.RejectStream(code=EndCode.REPLICA_FULL))
    pair.settle()

    assert not edge.rejects and edge.trunk_stream.id in pair.edge.streams


def test_a_runner_that_wants_no_more_streams_says_why() -> None:
    pair = connected()

    pair.runner.go_away("draining")
    pair.settle()

    assert pair.go_aways == ["draining"]


def test_a_lost_trunk_ends_every_stream_with_the_cause_of_its_side() -> None:
    pair = connected()
    edge, runner = pair.connect()
    half_closed, _ = pair.connect()
    half_closed.trunk_stream.close(EndCode.CLIENT_CLOSED, 1000)

    fault = pair.edge.lose("call broke")
    pair.runner.lose("call broke")

    row = TABLE[EndCode.REPLICA_LOST]
    assert fault.detail == "call broke"
    assert edge.closings == half_closed.closings == [(EndCode.REPLICA_LOST, row.close_code, row.reason)]
    assert runner.closings == [(EndCode.CLIENT_GONE, ABNORMAL, "")]
    assert pair.edge.receive(b"") is fault
    assert pair.edge.lose("again") is fault


def test_a_stream_whose_peer_had_closed_is_not_told_again_when_the_trunk_is_lost() -> None:
    pair = connected()
    edge, runner = pair.connect()
    runner.trunk_stream.close(EndCode.COMPLETED, 1000)
    pair.settle()

    pair.edge.lose("call broke")

    assert [closing.code for closing in edge.closings] == [EndCode.COMPLETED]


def test_nothing_is_sent_or_announced_after_a_loss() -> None:
    pair = connected()
    edge, _ = pair.connect()
    edge.trunk_stream.send(Kind.BINARY, bytes(3_000_000))
    pair.edge.lose("call broke")

    assert pair.edge.take_batch() is None
    assert edge.trunk_stream.send(Kind.BINARY, b"late")
    edge.trunk_stream.consumed(1_000_000)
    edge.trunk_stream.close(EndCode.CLIENT_CLOSED, 1000)
    assert not pair.edge.ready and pair.edge.take_batch() is None


def test_an_owner_may_give_the_trunk_up_while_a_batch_comes_in() -> None:
    """What stands behind the item that made it give up opens and tells nothing."""
    pair = connected()
    opened: list[int] = []

    def on_open(stream: TrunkStream, request: trunk_pb2.OpenStream) -> None:
        opened.append(stream.id)
        pair.runner.lose("had enough")

    pair.runner._on_open = on_open
    for _ in range(3):
        pair.open()
    pair.take(Role.EDGE)

    fault = pair.deliver(Role.RUNNER)

    assert fault is not None and fault.detail == "had enough"
    assert opened == [1] and not pair.runner.streams


def test_an_owner_may_give_the_trunk_up_while_data_comes_in() -> None:
    pair = connected()
    edge, runner = pair.connect()
    edge.trunk_stream.close(EndCode.CLIENT_CLOSED, 1000)
    other, _ = pair.connect()
    edge.on_told = lambda: pair.edge.lose("had enough")
    runner.trunk_stream.close(EndCode.COMPLETED, 1000)
    pair.runner_sinks[2].trunk_stream.send(Kind.BINARY, b"late")
    pair.take(Role.RUNNER)

    fault = pair.deliver(Role.EDGE)

    assert fault is not None and fault.detail == "had enough"
    assert not other.messages and len(other.closings) == 1


def test_output_is_announced_once_until_everything_is_taken() -> None:
    announcements: list[None] = []
    runner = Endpoint(Role.RUNNER, "replica-1", on_output=lambda: announcements.append(None))
    for _ in range(5):
        runner.go_away("draining")
    assert len(announcements) == 1

    assert runner.take_batch() is not None
    runner.go_away("draining")
    assert len(announcements) == 1

    assert runner.take_batch() is not None
    assert runner.take_batch() is None
    runner.go_away("draining")
    assert len(announcements) == 2


def test_a_burst_of_openings_is_cut_into_batches_that_the_peer_takes() -> None:
    pair = connected(accepts=False)
    header = "h" * 4000
    for number in range(5000):
        pair.edge.open(trunk_pb2.OpenStream(stream_id=str(number), path=header))
    batches = []

    while (payload := pair.edge.take_batch()) is not None:
        batch = decode(trunk_pb2.ConnectRequest, payload)
        assert pair.edge.taken_items == len(batch.kind) <= BATCH_ITEMS_MAX
        assert sum(map(len, batch.data)) <= BATCH_BYTES_MAX + SEGMENT_BYTES_MAX
        assert pair.runner.receive(payload) is None
        batches.append(batch)

    assert [stream for batch in batches for stream in batch.stream] == list(range(1, 5001))
    assert len(pair.runner.streams) == 5000


def test_credit_of_every_stream_fits_one_batch() -> None:
    pair = connected()
    for stream_id in range(1, STREAMS_MAX + 1):
        pair.runner.return_credit(stream_id, 2**32 - 1)

    payload = pair.runner.take_batch()

    assert payload is not None
    assert len(decode(trunk_pb2.ConnectResponse, payload).credit_stream) == STREAMS_MAX


def test_credit_that_crosses_a_close_is_no_fault() -> None:
    pair = connected(consumes=False)
    edge, runner = pair.connect()
    edge.trunk_stream.send(Kind.BINARY, bytes(200_000))
    pair.settle()
    runner.consume()
    assert pair.take(Role.RUNNER)
    runner.trunk_stream.close(EndCode.COMPLETED, 1000)
    edge.trunk_stream.close(EndCode.CLIENT_CLOSED, 1000)

    pair.settle()

    assert not pair.edge.streams and not pair.runner.streams


def test_a_stream_without_an_owner_of_its_own_takes_everything_in() -> None:
    """An edge that has lost interest before it has set a sink, or a runner without `on_open`."""
    edge = Endpoint(Role.EDGE, "edge-1", on_output=lambda: None)
    runner = Endpoint(Role.RUNNER, "replica-1", on_output=lambda: None)
    sink = RecordingSink()

    def move(source: Endpoint, target: Endpoint) -> None:
        while (payload := source.take_batch()) is not None:
            assert target.receive(payload) is None

    move(runner, edge)
    sink.attach(edge.open(trunk_pb2.OpenStream(stream_id="s1")))
    move(edge, runner)
    stream = runner.streams[1]
    runner.accept(stream, trunk_pb2.AcceptStream())
    move(runner, edge)
    sink.trunk_stream.send(Kind.BINARY, bytes(2_000_000))
    sink.trunk_stream.close(EndCode.CLIENT_GONE, ABNORMAL, discard=True)
    move(edge, runner)
    stream.close(EndCode.COMPLETED, 1000)
    move(runner, edge)

    assert not edge.streams and not runner.streams
