"""Which edge a runner's trunk goes to, in virtual time; the trunks are the test's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import cast

import pytest

from penstock.chains.remote import edge_link, trace
from penstock.chains.remote.edge_link import AWAY_S, EDGE_WAIT_S, EdgeLink
from penstock.close_codes import EndCode
from penstock.errors import UpstreamError
from penstock.trunk.connection import Trunk, TrunkOwner, TrunkWaiter
from penstock_testing.virtual_time import run_virtual

A, B = "10.0.0.1:1", "10.0.0.2:1"


class FakeTrunk:
    """Does what a test says."""

    made: list[FakeTrunk]

    def __init__(self, owner: TrunkOwner, peer_id: str, address: str) -> None:
        assert peer_id == address
        self.owner = owner
        self.address = address
        self.waiters: dict[TrunkWaiter, None] = {}
        self.is_ready = False
        self.is_worn = False
        self.is_over = False
        self.stream_count = 0
        self.ended = asyncio.Event()
        self.trace = trace.current()
        self.made.append(self)

    @property
    def real(self) -> Trunk:
        return cast(Trunk, self)

    def reach(self) -> None:
        self.is_ready = True
        for waiter in self.waiters:
            waiter.trunk_ready()
        self.waiters.clear()

    def lose(self) -> None:
        was_ready, self.is_ready, self.is_over = self.is_ready, False, True
        self.ended.set()
        self.owner.trunk_ended(self.real, "lost by the test", self.stream_count, was_ready=was_ready)
        for waiter in self.waiters:
            waiter.trunk_failed()

    def stop(self) -> None:
        asyncio.get_running_loop().call_soon(self.lose)

    async def wait_ended(self) -> None:
        await self.ended.wait()


@pytest.fixture(autouse=True)
def trunks(monkeypatch: pytest.MonkeyPatch) -> list[FakeTrunk]:
    FakeTrunk.made = []
    monkeypatch.setattr(edge_link, "Trunk", FakeTrunk)
    return FakeTrunk.made


def played(scenario: Callable[[EdgeLink], Awaitable[None]]) -> list[tuple[str, str, int]]:
    """Runs it with a link that takes the first address which it may choose; returns the losses."""
    lost: list[tuple[str, str, int]] = []

    async def main() -> None:
        link = EdgeLink("r1", on_lost=lambda *loss: lost.append(loss), choose=lambda addresses: addresses[0])
        await scenario(link)
        await link.stop()
        assert all(trunk.is_over for trunk in FakeTrunk.made)
        assert link._all == set() and link._waiting == set()

    run_virtual(main())
    return lost


async def asked(link: EdgeLink) -> asyncio.Task[Trunk]:
    task = asyncio.create_task(link.trunk())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return task


def test_nothing_is_dialled_before_the_first_call(trunks: list[FakeTrunk]) -> None:
    async def scenario(link: EdgeLink) -> None:
        link.set_addresses((A,))
        await asyncio.sleep(100)
        assert link.ready() is None and trunks == []

    played(scenario)


def test_all_calls_wait_for_the_same_trunk_and_take_it(trunks: list[FakeTrunk]) -> None:
    async def scenario(link: EdgeLink) -> None:
        link.set_addresses((A, B))
        asking = [await asked(link) for _ in range(3)]
        assert [trunk.address for trunk in trunks] == [A]
        assert link.ready() is None

        trunks[0].reach()

        assert [await task for task in asking] == [trunks[0].real] * 3
        assert link.ready() is trunks[0].real

    played(scenario)


def test_a_call_waits_for_an_edge_to_be_known(trunks: list[FakeTrunk]) -> None:
    async def scenario(link: EdgeLink) -> None:
        asking = await asked(link)
        await asyncio.sleep(5)
        link.set_addresses((A,))
        await asyncio.sleep(0.1)
        trunks[0].reach()
        assert await asking is trunks[0].real

    played(scenario)


def test_without_any_edge_a_call_fails_in_time_and_says_so() -> None:
    async def scenario(link: EdgeLink) -> None:
        with pytest.raises(UpstreamError, match=r"No edge was reached in 10 s \(none is known\)"):
            await link.trunk()
        assert asyncio.get_running_loop().time() == pytest.approx(EDGE_WAIT_S)

    played(scenario)


def test_an_edge_that_cannot_be_reached_is_tried_again_ever_more_rarely(trunks: list[FakeTrunk]) -> None:
    async def scenario(link: EdgeLink) -> None:
        link.set_addresses((A,))
        loop = asyncio.get_running_loop()
        asking = await asked(link)
        dialled = []
        while not asking.done():
            if trunks and not trunks[-1].is_over:
                dialled.append(loop.time())
                trunks[-1].lose()
            await asyncio.sleep(0.01)
        pauses = [later - earlier for earlier, later in pairwise(dialled)]
        assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0], abs=0.05)
        with pytest.raises(UpstreamError) as caught:
            await asking
        assert caught.value.code is EndCode.REPLICA_LOST
        assert A in caught.value.reason

    assert played(scenario) == []


def test_a_lost_edge_is_replaced_by_another(trunks: list[FakeTrunk]) -> None:
    async def scenario(link: EdgeLink) -> None:
        link.set_addresses((A, B))
        asking = await asked(link)
        trunks[0].reach()
        await asking
        trunks[0].stream_count = 3

        trunks[0].lose()

        assert link.ready() is None
        asking = await asked(link)
        assert trunks[1].address == B
        trunks[1].reach()
        assert await asking is trunks[1].real

    assert played(scenario) == [(A, "lost by the test", 3)]


def test_an_edge_that_drains_is_left_when_another_is_there_and_ended_when_it_is_empty(trunks: list[FakeTrunk]) -> None:
    async def scenario(link: EdgeLink) -> None:
        link.set_addresses((A, B))
        asking = await asked(link)
        trunks[0].reach()
        await asking
        trunks[0].stream_count = 1

        link.trunk_go_away(trunks[0].real, "draining")
        asking = await asked(link)
        trunks[1].reach()

        assert await asking is trunks[1].real
        link.after_batch()
        await asyncio.sleep(1)
        assert not trunks[0].is_over, "a call is on it"
        trunks[0].stream_count = 0
        link.after_batch()
        await asyncio.sleep(1)
        assert trunks[0].is_over

    assert played(scenario) == []


def test_the_only_edge_is_used_although_it_drains(trunks: list[FakeTrunk]) -> None:
    async def scenario(link: EdgeLink) -> None:
        link.set_addresses((A,))
        asking = await asked(link)
        trunks[0].reach()
        await asking

        link.trunk_go_away(trunks[0].real, "draining")

        assert await link.trunk() is trunks[0].real
        assert len(trunks) == 1
        await asyncio.sleep(AWAY_S + 1)
        asking = await asked(link)
        assert len(trunks) == 2, "it may have begun anew"
        trunks[1].reach()
        assert await asking is trunks[1].real

    played(scenario)


def test_an_edge_that_ended_its_drain_is_tried_anew_soon(trunks: list[FakeTrunk]) -> None:
    async def scenario(link: EdgeLink) -> None:
        link.set_addresses((A,))
        asking = await asked(link)
        trunks[0].reach()
        await asking
        link.trunk_go_away(trunks[0].real, "draining")
        trunks[0].lose()

        asking = await asked(link)
        await asyncio.sleep(0.2)
        trunks[1].reach()
        assert await asking is trunks[1].real

    assert played(scenario) == []


def test_an_edge_that_the_controller_names_no_more_gets_no_new_calls(trunks: list[FakeTrunk]) -> None:
    async def scenario(link: EdgeLink) -> None:
        link.set_addresses((A,))
        asking = await asked(link)
        trunks[0].reach()
        await asking

        link.set_addresses(())
        assert link.ready() is trunks[0].real, "there is no other"
        link.set_addresses((B,))
        assert link.ready() is None
        asking = await asked(link)
        assert trunks[1].address == B
        trunks[1].reach()
        await asking

    played(scenario)


def test_a_trunk_that_is_worn_is_replaced(trunks: list[FakeTrunk]) -> None:
    async def scenario(link: EdgeLink) -> None:
        link.set_addresses((A,))
        asking = await asked(link)
        trunks[0].reach()
        await asking
        trunks[0].is_worn = True
        assert link.ready() is None

        asking = await asked(link)
        trunks[1].reach()
        assert await asking is trunks[1].real
        await asyncio.sleep(0.1)
        assert trunks[0].is_over

    played(scenario)


def test_who_waits_at_the_end_of_the_process_is_told() -> None:
    async def scenario(link: EdgeLink) -> None:
        asking = await asked(link)
        await link.stop()
        with pytest.raises(UpstreamError, match="This replica stops"):
            await asking

    played(scenario)


def test_a_trunk_knows_nothing_of_the_request_that_had_it_dialled(trunks: list[FakeTrunk]) -> None:
    """Its log lines would carry the ids of a request that is long over."""
    found: list[str] = []

    async def scenario(link: EdgeLink) -> None:
        link.set_addresses((A,))
        with trace.bound({"traceparent": "T1"}):
            call = await asked(link)
        trunks[0].reach()
        await call
        found.extend(trunks[0].trace)

    played(scenario)

    assert found == []
