from __future__ import annotations

import pytest

from penstock.api.control.v1 import control_pb2
from penstock_edge.wake import WAKE_S
from penstock_testing.edge_connection import pass_time
from penstock_testing.request_kit import RequestKit, answer, settle
from penstock_testing.virtual_time import run_virtual

WAKE = "/model/echo/wake"


async def wake(kit: RequestKit, method: str = "POST") -> int:
    client = kit.ask(WAKE, b"", method=method)
    await client.task
    return client.status


def test_a_sleeping_deployment_is_wanted_until_a_replica_is_ready() -> None:
    async def main() -> None:
        kit = RequestKit()
        kit.apply()
        assert [await wake(kit) for _ in range(5)] == [202] * 5
        assert kit.plane.waiting.demand() == {"echo-1": (1, 0.0)}
        kit.apply()
        await settle()
        assert kit.plane.waiting.length("echo-1") == 1, "there is none yet"
        kit.apply(("r1", 0, 1))
        await settle()
        assert not kit.plane.waiting.has("echo-1")
        assert "r1" not in kit.runners or not kit.runners["r1"].streams, "the model is not called"
        kit.assert_nothing_left()

    run_virtual(main())


def test_who_waits_behind_a_wish_is_served() -> None:
    async def main() -> None:
        kit = RequestKit()
        kit.apply()
        await wake(kit)
        client = kit.ask()
        await settle()
        kit.apply(("r1", 0, 1))
        answer(await kit.accepted(), b"1")
        await client.task
        assert client.status == 200
        kit.assert_nothing_left()

    run_virtual(main())


def test_a_deployment_that_is_awake_is_left_alone() -> None:
    async def main() -> None:
        kit = RequestKit()
        assert await wake(kit) == 202
        assert not kit.plane.waiting.has("echo-1")

    run_virtual(main())


def test_a_wish_is_given_up_at_last_and_when_the_edge_stops() -> None:
    async def main() -> None:
        kit = RequestKit()
        kit.apply()
        await wake(kit)
        await pass_time(kit, WAKE_S + 1)
        assert not kit.plane.waiting.has("echo-1")
        await wake(kit)
        assert kit.plane.waiting.has("echo-1")
        await kit.app.stop()
        assert not kit.plane.waiting.has("echo-1")

    run_virtual(main())


def test_a_full_line_is_wish_enough() -> None:
    async def main() -> None:
        kit = RequestKit()
        kit.apply(settings=control_pb2.StreamSettings(queue_streams_max=1))
        client = kit.ask()
        await settle()
        assert await wake(kit) == 202
        assert kit.plane.waiting.length("echo-1") == 1
        await client.task

    run_virtual(main())


@pytest.mark.parametrize(("method", "is_draining", "status"), [("GET", False, 405), ("POST", True, 503)])
def test_refusals(method: str, is_draining: bool, status: int) -> None:
    async def main() -> None:
        kit = RequestKit()
        kit.plane.is_draining = is_draining
        assert await wake(kit, method) == status

    run_virtual(main())
