"""Streams that are being opened while another deployment is promoted."""

from __future__ import annotations

from penstock.close_codes import EndCode
from penstock_testing.opening_kit import OpeningKit, in_virtual_time


@in_virtual_time
async def test_a_stream_that_waits_goes_over_to_the_deployment_that_is_promoted() -> None:
    kit = OpeningKit(("old", 0, 10))
    client = kit.client()
    await kit.settle()
    kit.side("old").reject(EndCode.REPLICA_DRAINING)
    await kit.settle()
    assert kit.plane.waiting.length("echo-1") == 1

    kit.snapshot(("new", 0, 10), promoted="echo-2")
    await kit.settle()
    kit.side("new").accept()

    assert (client.replica, client.deployment_id) == ("new", "echo-2")
    assert kit.side("new").request.deployment_id == "echo-2"
    assert kit.plane.waiting.deployments() == []


@in_virtual_time
async def test_all_who_wait_go_over_and_wait_in_the_new_line_when_it_has_no_slot_yet() -> None:
    kit = OpeningKit()
    clients = [kit.client() for _ in range(3)]
    await kit.settle()
    assert kit.plane.waiting.length("echo-1") == 3

    kit.snapshot(promoted="echo-2")
    await kit.settle()

    assert kit.plane.waiting.demand() == {"echo-2": (3, 0.0)}
    kit.snapshot(("new", 0, 10), promoted="echo-2")
    await kit.settle()
    for index in range(3):
        kit.side("new", index).accept()
    assert [client.replica for client in clients] == ["new"] * 3
    assert kit.plane.waiting.deployments() == []


@in_virtual_time
async def test_a_stream_that_an_old_replica_refuses_after_the_promotion_goes_to_the_new_one() -> None:
    kit = OpeningKit(("old", 0, 10))
    client = kit.client()
    await kit.settle()

    refusing = kit.side("old")
    kit.snapshot(("new", 0, 10), promoted="echo-2")
    refusing.reject(EndCode.REPLICA_DRAINING)
    await kit.settle()
    kit.side("new").accept()

    assert client.replica == "new"


@in_virtual_time
async def test_a_stream_of_a_deployment_by_its_id_stays_with_it() -> None:
    kit = OpeningKit()
    client = kit.client(is_by_id=True)
    await kit.settle()

    kit.snapshot(("new", 0, 10), promoted="echo-2")
    await kit.settle()

    assert kit.plane.waiting.length("echo-1") == 1
    assert not client.is_answered
    client.opening.cancel()
