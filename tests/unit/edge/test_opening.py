from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from penstock.api.control.v1 import control_pb2
from penstock.api.trunk.v1 import trunk_pb2
from penstock.close_codes import EndCode
from penstock.trunk.stream import NO_SINK, StreamSink, TrunkStream
from penstock_edge.opening import Opening, refusal_text
from penstock_testing.edge_kit import EdgeKit, ModelSide, duration
from penstock_testing.virtual_time import run_virtual

SETTINGS = control_pb2.StreamSettings(queue_timeout=duration(30), handshake_timeout=duration(10), queue_streams_max=3)
Replica = tuple[str, int, int]


class Client:
    """Owner of an opening; notes the one answer that it gets."""

    def __init__(self, kit: EdgeKit) -> None:
        self._kit = kit
        self.opened: tuple[TrunkStream, str] | None = None
        self.refused: str | None = None
        deployment = kit.plane.table.by_id("echo-1")
        assert deployment is not None
        request = trunk_pb2.OpenStream(stream_id=kit.plane.next_stream_id(), deployment_id="echo-1")
        self.opening = Opening(kit.plane, deployment, request, self)
        self.answered_at: float | None = None

    def stream_opened(self, stream: TrunkStream, accept: trunk_pb2.AcceptStream, replica_id: str) -> StreamSink:
        assert self.answered_at is None, "answered twice"
        self.opened, self.answered_at = (stream, replica_id), self._kit.plane.now()
        return NO_SINK

    def stream_refused(self, reject: trunk_pb2.RejectStream) -> None:
        assert self.answered_at is None, "answered twice"
        assert reject.retry_after_seconds >= 1
        self.refused, self.answered_at = reject.code, self._kit.plane.now()

    @property
    def replica(self) -> str | None:
        return self.opened[1] if self.opened is not None else None

    @property
    def is_answered(self) -> bool:
        return self.answered_at is not None


class Bench:
    def __init__(self, *replicas: Replica, settings: control_pb2.StreamSettings = SETTINGS) -> None:
        self.kit = EdgeKit()
        self.plane = self.kit.plane
        self.settings = settings
        self.snapshot(*replicas)

    def snapshot(self, *replicas: Replica) -> None:
        self.kit.apply(*replicas, settings=self.settings)

    def client(self) -> Client:
        client = Client(self.kit)
        client.opening.start()
        return client

    async def settle(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    def side(self, replica_id: str, index: int = -1) -> ModelSide:
        return self.kit.runners[replica_id].streams[index]

    async def until(self, seconds: float) -> None:
        """Lets the clock reach `seconds`."""
        reached = asyncio.Event()
        self.plane.loop.call_at(seconds, reached.set)
        await reached.wait()


def in_virtual_time(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    def run() -> None:
        async def main() -> None:
            await test()

        run_virtual(main())

    run.__name__ = test.__name__
    run.__doc__ = test.__doc__
    return run


@in_virtual_time
async def test_a_stream_is_opened_on_the_replica_that_accepts_it() -> None:
    bench = Bench(("r1", 0, 10))
    client = bench.client()
    await bench.settle()
    assert not client.is_answered
    assert bench.kit.active("r1") == 1

    bench.side("r1").accept()

    assert client.replica == "r1"
    assert bench.kit.active("r1") == 1


@in_virtual_time
async def test_a_full_replica_is_followed_by_the_next() -> None:
    bench = Bench(("r1", 0, 10), ("r2", 5, 10))
    client = bench.client()
    await bench.settle()

    bench.side("r1").reject(EndCode.REPLICA_FULL)
    await bench.settle()
    bench.side("r2").accept()

    assert client.replica == "r2"
    assert (bench.kit.active("r1"), bench.kit.active("r2")) == (0, 6)
    second = bench.client()
    await bench.settle()
    assert len(bench.kit.runners["r1"].streams) == 1, "it has said that it is full"
    second.opening.cancel()


@in_virtual_time
async def test_draining_and_unready_replicas_are_followed_by_the_next() -> None:
    bench = Bench(("r1", 0, 10), ("r2", 2, 10), ("r3", 5, 10))
    client = bench.client()
    await bench.settle()

    bench.side("r1").reject(EndCode.REPLICA_DRAINING)
    await bench.settle()
    bench.side("r2").reject(EndCode.REPLICA_NOT_READY)
    await bench.settle()
    bench.side("r3").accept()

    assert client.replica == "r3"
    assert [bench.kit.active(name) for name in ("r1", "r2", "r3")] == [0, 2, 6]


@in_virtual_time
async def test_a_refusal_that_every_replica_would_give_goes_to_the_client() -> None:
    bench = Bench(("r1", 0, 10), ("r2", 0, 10))
    client = bench.client()
    await bench.settle()
    (runner,) = [runner for runner in bench.kit.runners.values() if runner.streams]

    runner.streams[0].reject(EndCode.PERMISSION_DENIED, retry_after_seconds=7)

    assert client.refused == EndCode.PERMISSION_DENIED
    assert (bench.kit.active("r1"), bench.kit.active("r2")) == (0, 0)


@in_virtual_time
async def test_an_address_that_another_runner_has_now_is_left_out() -> None:
    bench = Bench(("r1", 0, 10), ("r2", 5, 10))
    client = bench.client()
    await bench.settle()

    bench.side("r1").reject(EndCode.NOT_FOUND)
    await bench.settle()
    bench.side("r2").accept()

    assert client.replica == "r2"
    known = bench.plane.placement.candidate("r1")
    assert known is not None and known.ejected_until > bench.plane.now()


@in_virtual_time
async def test_with_all_replicas_full_streams_wait_in_order_of_arrival() -> None:
    bench = Bench(("r1", 10, 10))
    clients = [bench.client() for _ in range(3)]
    await bench.settle()
    assert not any(client.is_answered for client in clients)
    assert bench.plane.waiting.demand() == {"echo-1": (3, 0.0)}

    for expected in clients:
        bench.snapshot(("r1", 9, 10))
        await bench.settle()
        bench.side("r1").accept()
        assert [client for client in clients if client.is_answered][-1] is expected
        bench.snapshot(("r1", 10, 10))
    assert bench.plane.waiting.demand() == {}


@in_virtual_time
async def test_a_newcomer_stands_behind_those_who_wait() -> None:
    bench = Bench(("r1", 10, 10))
    first = bench.client()
    # A slot is free, but the news of it has not woken the line yet.
    bench.plane.placement.ended("r1", bench.plane.now())
    second = bench.client()
    bench.plane.wake_waiting()
    await bench.settle()

    bench.side("r1").accept()

    assert first.is_answered and not second.is_answered
    second.opening.cancel()


@in_virtual_time
async def test_a_waiting_stream_that_is_refused_again_keeps_its_place_and_its_time() -> None:
    """Other edges take the slot each time: the wait must end all the same."""
    bench = Bench(("r1", 10, 10))
    first = bench.client()
    await bench.until(1)
    second = bench.client()
    for second_passed in range(2, 29, 2):
        await bench.until(second_passed)
        bench.snapshot(("r1", 9, 10))
        await bench.settle()
        bench.side("r1").reject(EndCode.REPLICA_FULL)
        await bench.settle()
        assert bench.plane.waiting.demand() == {"echo-1": (2, 0.0)}
    bench.snapshot(("r1", 10, 10))

    await bench.until(40)

    assert first.refused == EndCode.QUEUE_TIMEOUT
    assert first.answered_at == pytest.approx(30, abs=0.1)
    assert second.answered_at == pytest.approx(31, abs=0.1)


@in_virtual_time
async def test_a_full_line_refuses_at_once() -> None:
    bench = Bench(("r1", 10, 10))
    waiting = [bench.client() for _ in range(3)]

    late = bench.client()

    assert late.refused == EndCode.QUEUE_FULL
    assert bench.plane.waiting.refused_total == {"echo-1": 1}
    for client in waiting:
        client.opening.cancel()
    assert bench.plane.waiting.demand() == {}


@in_virtual_time
async def test_a_wait_ends_with_its_time() -> None:
    bench = Bench()
    client = bench.client()

    await bench.until(29.9)
    assert not client.is_answered
    await bench.until(30.1)

    assert client.refused == EndCode.QUEUE_TIMEOUT
    assert bench.plane.waiting.demand() == {}


@pytest.mark.parametrize(
    ("replicas", "code"), [((), EndCode.REPLICA_NOT_READY), ((("r1", 10, 10),), EndCode.REPLICA_FULL)]
)
def test_who_may_not_wait_is_told_why(replicas: tuple[Replica, ...], code: EndCode) -> None:
    async def main() -> None:
        bench = Bench(*replicas, settings=control_pb2.StreamSettings(queue_timeout=duration(0)))
        assert bench.client().refused == code

    run_virtual(main())


@in_virtual_time
async def test_a_replica_that_does_not_answer_is_followed_by_the_next() -> None:
    bench = Bench(("r1", 0, 10), ("r2", 5, 10))
    client = bench.client()
    await bench.until(10.1)

    bench.side("r2").accept()

    assert client.replica == "r2"
    assert client.answered_at == pytest.approx(10.1)
    silent = bench.side("r1")
    bench.kit.runners["r1"].pump()
    assert silent.closing is not None and silent.closing.code is EndCode.CLIENT_GONE
    assert bench.kit.active("r1") == 0
    silent.accept()  # too late, and without harm
    silent.close()
    assert bench.kit.active("r1") == 0


@in_virtual_time
async def test_when_no_replica_answers_the_upgrade_has_timed_out() -> None:
    bench = Bench(("r1", 0, 10))
    client = bench.client()

    await bench.until(60)

    assert client.refused == EndCode.HANDSHAKE_TIMEOUT
    assert client.answered_at is not None and client.answered_at <= 51
    assert bench.kit.active("r1") == 0


@in_virtual_time
async def test_a_replica_that_could_not_be_reached_is_tried_again_without_any_news() -> None:
    """With the controller away no snapshot wakes the line."""
    bench = Bench(("r1", 0, 10))
    bench.kit.runners["r1"].lose()
    bench.kit.unreached = {"r1"}
    client = bench.client()
    bench.kit.runners["r1"].lose()
    assert not client.is_answered
    bench.kit.unreached = set()

    await bench.until(1.2)
    bench.side("r1").accept()

    assert client.replica == "r1"


@in_virtual_time
async def test_a_replica_that_was_full_is_tried_again_without_any_news() -> None:
    bench = Bench(("r1", 0, 10))
    client = bench.client()
    await bench.settle()
    bench.side("r1").reject(EndCode.REPLICA_FULL)

    await bench.until(3.2)
    bench.side("r1").accept()

    assert client.replica == "r1"
    assert len(bench.kit.runners["r1"].streams) == 2


@in_virtual_time
async def test_a_stream_waits_for_its_trunk_and_takes_the_next_when_it_fails() -> None:
    bench = Bench()
    bench.kit.unreached = {"r1"}
    bench.snapshot(("r1", 0, 10), ("r2", 5, 10))
    client = bench.client()
    await bench.settle()
    assert bench.kit.runners["r1"].openings == {client.opening}

    bench.kit.runners["r1"].lose()
    await bench.settle()
    bench.side("r2").accept()

    assert client.replica == "r2"
    assert bench.kit.active("r1") == 0


@in_virtual_time
async def test_a_stream_is_opened_when_its_trunk_comes_up() -> None:
    bench = Bench()
    bench.kit.unreached = {"r1"}
    bench.snapshot(("r1", 0, 10))
    client = bench.client()

    bench.kit.runners["r1"].reach()
    bench.side("r1").accept()

    assert client.replica == "r1"


@in_virtual_time
async def test_a_trunk_that_breaks_before_the_answer_is_followed_by_the_next() -> None:
    bench = Bench(("r1", 0, 10), ("r2", 5, 10))
    client = bench.client()
    await bench.settle()

    bench.kit.runners["r1"].lose()
    await bench.settle()
    bench.side("r2").accept()

    assert client.replica == "r2"
    assert bench.kit.active("r1") == 0


@in_virtual_time
async def test_a_trunk_that_carries_no_more_is_followed_by_the_next() -> None:
    bench = Bench(("r1", 0, 10), ("r2", 5, 10))
    bench.kit.runners["r1"].is_full = True
    client = bench.client()
    await bench.settle()

    bench.side("r2").accept()

    assert client.replica == "r2"


@in_virtual_time
async def test_a_client_may_leave_in_every_state_and_nothing_is_left() -> None:
    bench = Bench()
    in_line = bench.client()
    in_line.opening.cancel()
    assert bench.plane.waiting.demand() == {}

    bench.kit.unreached = {"r1"}
    bench.snapshot(("r1", 0, 1))
    dialling = bench.client()
    assert bench.kit.active("r1") == 1
    dialling.opening.cancel()
    assert bench.kit.active("r1") == 0
    bench.kit.runners["r1"].reach()
    assert bench.kit.runners["r1"].streams == []

    asked = bench.client()
    await bench.settle()
    asked.opening.cancel()
    await bench.settle()
    bench.kit.runners["r1"].pump()
    side = bench.side("r1")
    assert side.closing is not None and side.closing.code is EndCode.CLIENT_GONE
    assert bench.kit.active("r1") == 1, "the runner may have given it a slot"
    side.accept()
    side.close()
    assert bench.kit.active("r1") == 0

    rejected = bench.client()
    await bench.settle()
    rejected.opening.cancel()
    bench.side("r1").reject(EndCode.REPLICA_FULL)
    assert bench.kit.active("r1") == 0

    lost = bench.client()
    await bench.settle()
    lost.opening.cancel()
    bench.kit.runners["r1"].lose()
    assert bench.kit.active("r1") == 0

    for client in (in_line, dialling, asked, rejected, lost):
        client.opening.cancel()
        assert not client.is_answered
    await bench.until(100)
    assert not any(client.is_answered for client in (in_line, dialling, asked, rejected, lost))


@in_virtual_time
async def test_a_place_that_a_leaving_client_gives_back_wakes_the_line() -> None:
    for is_reached in (True, False):
        bench = Bench()
        bench.kit.unreached = set() if is_reached else {"r1"}
        bench.snapshot(("r1", 0, 1))
        leaving, waiting = bench.client(), bench.client()
        await bench.settle()
        assert bench.plane.waiting.has("echo-1")

        leaving.opening.cancel()
        if is_reached:
            bench.side("r1").accept()
            bench.side("r1").close()
        await bench.settle()
        if not is_reached:
            bench.kit.runners["r1"].reach()
        bench.side("r1").accept()

        assert waiting.replica == "r1"


@in_virtual_time
async def test_many_streams_at_once_leave_no_trace() -> None:
    bench = Bench(("r1", 0, 3), ("r2", 0, 3), settings=control_pb2.StreamSettings(queue_timeout=duration(5)))
    clients = [bench.client() for _ in range(40)]
    for _ in range(60):
        await bench.settle()
        for runner in list(bench.kit.runners.values()):
            for side in runner.streams:
                if side.stream.is_local_closed:
                    continue
                if not side.stream.is_accepted:
                    side.accept()
                else:
                    side.close()
                    runner.edge.streams.get(side.stream.id) and None
        for client in clients:
            if client.opened is not None:
                stream, replica_id = client.opened
                if stream.is_remote_closed and not stream.is_local_closed:
                    stream.close(EndCode.COMPLETED, 1000)
                    bench.plane.stream_ended("echo-1", replica_id)
    await bench.until(20)

    assert all(client.is_answered for client in clients)
    assert sum(client.opened is not None for client in clients) == 40
    assert (bench.kit.active("r1"), bench.kit.active("r2")) == (0, 0)
    assert bench.plane.waiting.demand() == {}


def test_a_refusal_without_a_text_gets_the_one_of_its_code() -> None:
    assert refusal_text(trunk_pb2.RejectStream(code="QUEUE_FULL")) == "Too many streams are waiting; try again later."
    assert refusal_text(trunk_pb2.RejectStream(code="QUEUE_FULL", reason="Mine.")) == "Mine."
