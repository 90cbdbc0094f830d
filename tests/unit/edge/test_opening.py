from __future__ import annotations

import pytest

from penstock.api.control.v1 import control_pb2
from penstock.api.trunk.v1 import trunk_pb2
from penstock.close_codes import EndCode
from penstock_edge.opening import refusal_text
from penstock_testing.edge_kit import duration
from penstock_testing.opening_kit import OpeningKit, in_virtual_time


@in_virtual_time
async def test_a_stream_is_opened_on_the_replica_that_accepts_it() -> None:
    kit = OpeningKit(("r1", 0, 10))
    client = kit.client()
    await kit.settle()
    assert not client.is_answered
    assert kit.edge.active("r1") == 1

    kit.side("r1").accept()

    assert client.replica == "r1"
    assert kit.edge.active("r1") == 1


@in_virtual_time
async def test_a_full_replica_is_followed_by_the_next() -> None:
    kit = OpeningKit(("r1", 0, 10), ("r2", 5, 10))
    client = kit.client()
    await kit.settle()

    kit.side("r1").reject(EndCode.REPLICA_FULL)
    await kit.settle()
    kit.side("r2").accept()

    assert client.replica == "r2"
    assert (kit.edge.active("r1"), kit.edge.active("r2")) == (0, 6)
    second = kit.client()
    await kit.settle()
    assert len(kit.edge.runners["r1"].streams) == 1, "it has said that it is full"
    second.opening.cancel()


@in_virtual_time
async def test_draining_and_unready_replicas_are_followed_by_the_next() -> None:
    kit = OpeningKit(("r1", 0, 10), ("r2", 2, 10), ("r3", 5, 10))
    client = kit.client()
    await kit.settle()

    kit.side("r1").reject(EndCode.REPLICA_DRAINING)
    await kit.settle()
    kit.side("r2").reject(EndCode.REPLICA_NOT_READY)
    await kit.settle()
    kit.side("r3").accept()

    assert client.replica == "r3"
    assert [kit.edge.active(name) for name in ("r1", "r2", "r3")] == [0, 2, 6]


@in_virtual_time
async def test_a_refusal_that_every_replica_would_give_goes_to_the_client() -> None:
    kit = OpeningKit(("r1", 0, 10), ("r2", 0, 10))
    client = kit.client()
    await kit.settle()
    (runner,) = [runner for runner in kit.edge.runners.values() if runner.streams]

    runner.streams[0].reject(EndCode.PERMISSION_DENIED, retry_after_seconds=7)

    assert client.refused == EndCode.PERMISSION_DENIED
    assert (kit.edge.active("r1"), kit.edge.active("r2")) == (0, 0)


@in_virtual_time
async def test_an_address_that_another_runner_has_now_is_left_out() -> None:
    kit = OpeningKit(("r1", 0, 10), ("r2", 5, 10))
    client = kit.client()
    await kit.settle()

    kit.side("r1").reject(EndCode.NOT_FOUND)
    await kit.settle()
    kit.side("r2").accept()

    assert client.replica == "r2"
    known = kit.plane.placement.candidate("r1")
    assert known is not None and known.ejected_until > kit.plane.now()


@in_virtual_time
async def test_a_replica_that_does_not_answer_is_followed_by_the_next() -> None:
    kit = OpeningKit(("r1", 0, 10), ("r2", 5, 10))
    client = kit.client()
    await kit.until(10.1)

    kit.side("r2").accept()

    assert client.replica == "r2"
    assert client.answered_at == pytest.approx(10.1)
    silent = kit.side("r1")
    kit.edge.runners["r1"].pump()
    assert silent.closing is not None and silent.closing.code is EndCode.CLIENT_GONE
    assert kit.edge.active("r1") == 0
    silent.accept()  # too late, and without harm
    silent.close()
    assert kit.edge.active("r1") == 0


@in_virtual_time
async def test_when_no_replica_answers_the_upgrade_has_timed_out() -> None:
    kit = OpeningKit(("r1", 0, 10))
    client = kit.client()

    await kit.until(60)

    assert client.refused == EndCode.HANDSHAKE_TIMEOUT
    assert client.answered_at is not None and client.answered_at <= 51
    assert kit.edge.active("r1") == 0


@in_virtual_time
async def test_a_stream_waits_for_its_trunk_and_takes_the_next_when_it_fails() -> None:
    kit = OpeningKit()
    kit.edge.unreached = {"r1"}
    kit.snapshot(("r1", 0, 10), ("r2", 5, 10))
    client = kit.client()
    await kit.settle()
    assert kit.edge.runners["r1"].waiters == {client.opening: None}

    kit.edge.runners["r1"].lose()
    await kit.settle()
    kit.side("r2").accept()

    assert client.replica == "r2"
    assert kit.edge.active("r1") == 0


@in_virtual_time
async def test_a_stream_is_opened_when_its_trunk_comes_up() -> None:
    kit = OpeningKit()
    kit.edge.unreached = {"r1"}
    kit.snapshot(("r1", 0, 10))
    client = kit.client()

    kit.edge.runners["r1"].reach()
    kit.side("r1").accept()

    assert client.replica == "r1"


@in_virtual_time
async def test_a_request_whose_trunk_breaks_before_the_answer_is_not_sent_again() -> None:
    kit = OpeningKit(("r1", 0, 10), ("r2", 5, 10))
    client = kit.client(transport=trunk_pb2.TRANSPORT_HTTP)
    await kit.settle()

    kit.edge.runners["r1"].lose()
    await kit.settle()

    assert client.refused == EndCode.REPLICA_LOST
    assert not kit.edge.runners["r2"].streams
    assert (kit.edge.active("r1"), kit.edge.active("r2")) == (0, 5)


@in_virtual_time
async def test_a_trunk_that_breaks_before_the_answer_is_followed_by_the_next() -> None:
    kit = OpeningKit(("r1", 0, 10), ("r2", 5, 10))
    client = kit.client()
    await kit.settle()

    kit.edge.runners["r1"].lose()
    await kit.settle()
    kit.side("r2").accept()

    assert client.replica == "r2"
    assert kit.edge.active("r1") == 0


@in_virtual_time
async def test_a_trunk_that_carries_no_more_is_followed_by_the_next() -> None:
    kit = OpeningKit(("r1", 0, 10), ("r2", 5, 10))
    kit.edge.runners["r1"].is_full = True
    client = kit.client()
    await kit.settle()

    kit.side("r2").accept()

    assert client.replica == "r2"


@in_virtual_time
async def test_a_client_may_leave_in_every_state_and_nothing_is_left() -> None:
    kit = OpeningKit()
    in_line = kit.client()
    in_line.opening.cancel()
    assert kit.plane.waiting.demand() == {}

    kit.edge.unreached = {"r1"}
    kit.snapshot(("r1", 0, 1))
    dialling = kit.client()
    assert kit.edge.active("r1") == 1
    dialling.opening.cancel()
    assert kit.edge.active("r1") == 0
    kit.edge.runners["r1"].reach()
    assert kit.edge.runners["r1"].streams == []

    asked = kit.client()
    await kit.settle()
    asked.opening.cancel()
    await kit.settle()
    kit.edge.runners["r1"].pump()
    side = kit.side("r1")
    assert side.closing is not None and side.closing.code is EndCode.CLIENT_GONE
    assert kit.edge.active("r1") == 1, "the runner may have given it a slot"
    side.accept()
    side.close()
    assert kit.edge.active("r1") == 0

    rejected = kit.client()
    await kit.settle()
    rejected.opening.cancel()
    kit.side("r1").reject(EndCode.REPLICA_FULL)
    assert kit.edge.active("r1") == 0

    lost = kit.client()
    await kit.settle()
    lost.opening.cancel()
    kit.edge.runners["r1"].lose()
    assert kit.edge.active("r1") == 0

    for client in (in_line, dialling, asked, rejected, lost):
        client.opening.cancel()
        assert not client.is_answered
    await kit.until(100)
    assert not any(client.is_answered for client in (in_line, dialling, asked, rejected, lost))


@in_virtual_time
async def test_the_deployment_says_whether_streams_are_packed() -> None:
    packed = control_pb2.StreamSettings(placement=control_pb2.PLACEMENT_STRATEGY_PACKED)
    kit = OpeningKit(("r1", 0, 10), ("r2", 5, 10), ("r3", 10, 10), settings=packed)
    kit.client()
    await kit.settle()

    assert len(kit.edge.runners["r2"].streams) == 1


@in_virtual_time
async def test_many_replicas_that_do_not_answer_cost_a_client_a_bounded_time() -> None:
    kit = OpeningKit(*((f"r{number}", 0, 10) for number in range(20)))
    client = kit.client()
    no_wait = OpeningKit(
        *((f"r{number}", 0, 10) for number in range(20)),
        settings=control_pb2.StreamSettings(queue_timeout=duration(0), handshake_timeout=duration(10)),
    ).client()

    await kit.until(300)

    assert client.refused == no_wait.refused == EndCode.HANDSHAKE_TIMEOUT
    assert client.answered_at == pytest.approx(30 + 2 * 10)
    assert no_wait.answered_at == pytest.approx(2 * 10), "it is tried on two"
    assert sum(kit.edge.active(f"r{number}") for number in range(20)) == 0


def test_a_refusal_without_a_text_gets_the_one_of_its_code() -> None:
    assert refusal_text(trunk_pb2.RejectStream(code="QUEUE_FULL")) == "Too many streams are waiting; try again later."
    assert refusal_text(trunk_pb2.RejectStream(code="QUEUE_FULL", reason="Mine.")) == "Mine."
