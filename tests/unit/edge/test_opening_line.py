from __future__ import annotations

import pytest

from penstock.api.control.v1 import control_pb2
from penstock.candidate import REPORT_LAG_S
from penstock.close_codes import EndCode
from penstock_testing.edge_kit import duration
from penstock_testing.opening_kit import OpeningKit, Replica, in_virtual_time
from penstock_testing.virtual_time import run_virtual


@in_virtual_time
async def test_with_all_replicas_full_streams_wait_in_order_of_arrival() -> None:
    kit = OpeningKit(("r1", 10, 10))
    clients = [kit.client() for _ in range(3)]
    await kit.settle()
    assert not any(client.is_answered for client in clients)
    assert kit.plane.waiting.demand() == {"echo-1": (3, 0.0)}

    for expected in clients:
        kit.snapshot(("r1", 9, 10))
        await kit.settle()
        kit.side("r1").accept()
        assert [client for client in clients if client.is_answered][-1] is expected
        kit.snapshot(("r1", 10, 10))
    assert kit.plane.waiting.demand() == {}


@in_virtual_time
async def test_a_newcomer_stands_behind_those_who_wait() -> None:
    kit = OpeningKit(("r1", 10, 10))
    first = kit.client()
    # A slot is free, but the news of it has not woken the line yet.
    kit.plane.placement.ended("r1", kit.plane.now())
    second = kit.client()
    kit.plane.wake_waiting()
    await kit.settle()

    kit.side("r1").accept()

    assert first.is_answered and not second.is_answered
    second.opening.cancel()


@in_virtual_time
async def test_a_waiting_stream_that_is_refused_again_keeps_its_place_and_its_time() -> None:
    """Other edges take the slot each time: the wait must end all the same."""
    kit = OpeningKit(("r1", 10, 10))
    first = kit.client()
    await kit.until(1)
    second = kit.client()
    for second_passed in range(2, 29, 2):
        await kit.until(second_passed)
        kit.snapshot(("r1", 9, 10))
        await kit.settle()
        kit.side("r1").reject(EndCode.REPLICA_FULL)
        await kit.settle()
        assert kit.plane.waiting.demand() == {"echo-1": (2, 0.0)}
    kit.snapshot(("r1", 10, 10))

    await kit.until(40)

    assert first.refused == EndCode.QUEUE_TIMEOUT
    assert first.answered_at == pytest.approx(30, abs=0.1)
    assert second.answered_at == pytest.approx(31, abs=0.1)


@in_virtual_time
async def test_a_full_line_refuses_at_once() -> None:
    kit = OpeningKit(("r1", 10, 10))
    waiting = [kit.client() for _ in range(3)]

    late = kit.client()

    assert late.refused == EndCode.QUEUE_FULL
    assert kit.plane.waiting.refused_total == {"echo-1": 1}
    for client in waiting:
        client.opening.cancel()
    assert kit.plane.waiting.demand() == {}


@in_virtual_time
async def test_a_wait_ends_with_its_time() -> None:
    kit = OpeningKit()
    client = kit.client()

    await kit.until(29.9)
    assert not client.is_answered
    await kit.until(30.1)

    assert client.refused == EndCode.QUEUE_TIMEOUT
    assert kit.plane.waiting.demand() == {}


@pytest.mark.parametrize(
    ("replicas", "code"), [((), EndCode.REPLICA_NOT_READY), ((("r1", 10, 10),), EndCode.REPLICA_FULL)]
)
def test_who_may_not_wait_is_told_why(replicas: tuple[Replica, ...], code: EndCode) -> None:
    async def main() -> None:
        kit = OpeningKit(*replicas, settings=control_pb2.StreamSettings(queue_timeout=duration(0)))
        assert kit.client().refused == code

    run_virtual(main())


@in_virtual_time
async def test_a_replica_that_could_not_be_reached_is_tried_again_without_any_news() -> None:
    """With the controller away no snapshot wakes the line."""
    kit = OpeningKit(("r1", 0, 10))
    kit.edge.runners["r1"].lose()
    kit.edge.unreached = {"r1"}
    client = kit.client()
    kit.edge.runners["r1"].lose()
    assert not client.is_answered
    kit.edge.unreached = set()

    await kit.until(1.2)
    kit.side("r1").accept()

    assert client.replica == "r1"


@in_virtual_time
async def test_a_replica_that_was_full_is_tried_again_without_any_news() -> None:
    kit = OpeningKit(("r1", 0, 10))
    client = kit.client()
    await kit.settle()
    kit.side("r1").reject(EndCode.REPLICA_FULL)

    await kit.until(3.2)
    kit.side("r1").accept()

    assert client.replica == "r1"
    assert len(kit.edge.runners["r1"].streams) == 2


@in_virtual_time
async def test_a_place_that_a_leaving_client_gives_back_wakes_the_line() -> None:
    for is_reached in (True, False):
        kit = OpeningKit()
        kit.edge.unreached = set() if is_reached else {"r1"}
        kit.snapshot(("r1", 0, 1))
        leaving, waiting = kit.client(), kit.client()
        await kit.settle()
        assert kit.plane.waiting.has("echo-1")

        leaving.opening.cancel()
        if is_reached:
            kit.side("r1").accept()
            kit.side("r1").close()
        await kit.settle()
        if not is_reached:
            kit.edge.runners["r1"].reach()
        kit.side("r1").accept()

        assert waiting.replica == "r1"


@in_virtual_time
async def test_a_deployment_without_replicas_is_waited_for_and_the_controller_told_at_once() -> None:
    kit = OpeningKit()
    told: list[int] = []
    kit.plane.on_feedback = lambda: told.append(kit.plane.waiting.length("echo-1"))
    clients = [kit.client() for _ in range(3)]
    assert told == [1, 2], "of the first, and when the line has doubled"

    await kit.until(20)
    kit.snapshot(("r1", 0, 10))
    await kit.settle()
    for index in range(3):
        kit.side("r1", index).accept()

    assert [client.replica for client in clients] == ["r1"] * 3


@in_virtual_time
async def test_with_a_full_line_and_no_replica_clients_are_told_when_a_place_gets_free() -> None:
    kit = OpeningKit()
    waiting = [kit.client() for _ in range(3)]
    await kit.until(12.5)
    late = kit.client()
    assert (late.refused, late.retry_after_s) == (EndCode.QUEUE_FULL, 18)

    kit.snapshot(("r1", 10, 10))
    late = kit.client()
    assert (late.refused, late.retry_after_s) == (EndCode.QUEUE_FULL, 1), "a stream of it may end at any time"
    for client in waiting:
        client.opening.cancel()


@in_virtual_time
async def test_those_who_try_keep_their_place_in_the_line() -> None:
    kit = OpeningKit(("r1", 10, 10))
    clients = [kit.client() for _ in range(3)]
    kit.snapshot(("r1", 7, 10))
    await kit.settle()
    kit.snapshot(("r1", 10, 10))
    assert kit.plane.waiting.demand() == {}

    late = kit.client()
    for index in range(3):
        kit.side("r1", index).reject(EndCode.REPLICA_FULL)
    await kit.settle()

    assert late.refused == EndCode.QUEUE_FULL
    assert kit.plane.waiting.demand() == {"echo-1": (3, 0.0)}
    for client in clients:
        client.opening.cancel()


@in_virtual_time
async def test_a_slot_that_got_free_behind_a_stream_is_found_without_any_news() -> None:
    """While it is tried on the second replica, a stream on the first one ends."""
    kit = OpeningKit(("r1", 0, 1), ("r2", 1, 3))
    held = kit.client()
    await kit.settle()
    kit.side("r1").accept()
    kit.snapshot(("r1", 0, 2), ("r2", 2, 3))
    client = kit.client()
    await kit.settle()
    kit.side("r1").reject(EndCode.REPLICA_FULL)
    await kit.settle()
    assert held.opened is not None
    kit.side("r1", 0).close()
    held.opened[0].close(EndCode.COMPLETED, 1000)
    kit.plane.stream_ended("echo-1", "r1")

    kit.side("r2").reject(EndCode.REPLICA_FULL)
    await kit.settle()
    kit.side("r1").accept()

    assert client.replica == "r1"
    assert client.answered_at == 0


@in_virtual_time
async def test_a_replica_that_was_full_when_the_controller_went_away_is_tried_again() -> None:
    kit = OpeningKit(("r1", 10, 10))
    clients = [kit.client() for _ in range(2)]
    await kit.until(REPORT_LAG_S - 0.1)
    assert kit.edge.runners["r1"].streams == []

    await kit.until(REPORT_LAG_S + 0.1)
    kit.side("r1", 0).accept()
    kit.side("r1", 1).reject(EndCode.REPLICA_FULL)
    await kit.until(2 * REPORT_LAG_S + 0.2)
    kit.side("r1", 2).accept()

    assert [client.replica for client in clients] == ["r1", "r1"]


@in_virtual_time
async def test_one_stream_tries_a_replica_that_was_unreachable_and_the_others_follow_its_success() -> None:
    kit = OpeningKit(("r1", 0, 10))
    kit.edge.unreached = {"r1"}
    kit.edge.runners["r1"].lose()
    clients = [kit.client() for _ in range(3)]
    kit.edge.runners["r1"].lose()
    kit.edge.unreached = set()
    await kit.until(1.2)
    assert len(kit.edge.runners["r1"].streams) == 1

    kit.side("r1", 0).accept()
    await kit.settle()
    for index in (1, 2):
        kit.side("r1", index).accept()

    assert [client.replica for client in clients] == ["r1"] * 3
    assert clients[2].answered_at == pytest.approx(1.2)


@in_virtual_time
async def test_many_streams_at_once_leave_no_trace() -> None:
    kit = OpeningKit(("r1", 0, 3), ("r2", 0, 3), settings=control_pb2.StreamSettings(queue_timeout=duration(5)))
    clients = [kit.client() for _ in range(40)]
    for _ in range(60):
        await kit.settle()
        for runner in list(kit.edge.runners.values()):
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
                    kit.plane.stream_ended("echo-1", replica_id)
    await kit.until(20)

    assert all(client.is_answered for client in clients)
    assert sum(client.opened is not None for client in clients) == 40
    assert (kit.edge.active("r1"), kit.edge.active("r2")) == (0, 0)
    assert kit.plane.waiting.demand() == {}
