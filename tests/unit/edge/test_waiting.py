from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from penstock_edge.opening import Opening
from penstock_edge.routing import Deployment
from penstock_edge.settings import StreamSettings
from penstock_edge.waiting import WaitingLines


@dataclass(eq=False)
class Waiter:
    """What a line sees of an opening."""

    waiting_since: float
    can_try: bool = True
    limit: int = 10
    id: str = "d"
    woken: int = 0
    line: list[Waiter] = field(default_factory=list)

    @property
    def deployment(self) -> Deployment:
        return Deployment(self.id, "m", False, (), (), StreamSettings(queue_streams_max=self.limit))

    def wake(self) -> bool:
        self.woken += 1
        return self.can_try


def join(lines: WaitingLines, *waiters: Waiter) -> list[bool]:
    return [lines.join(cast(Opening, waiter)) for waiter in waiters]


def test_a_line_is_bounded() -> None:
    lines = WaitingLines()

    assert join(lines, *(Waiter(0, limit=2) for _ in range(3))) == [True, True, False]
    assert lines.demand() == {"d": (2, 0)}


def test_a_line_without_places_takes_nobody_and_asks_for_nothing() -> None:
    """queue_streams_max may be 0."""
    lines = WaitingLines()

    assert join(lines, Waiter(0, limit=0)) == [False]

    assert not lines.has("d")
    assert lines.demand() == {}
    assert lines.deployments() == []


def test_those_in_front_are_woken_until_one_finds_nothing() -> None:
    lines = WaitingLines()
    waiters = [Waiter(0), Waiter(1), Waiter(2, can_try=False), Waiter(3)]
    join(lines, *waiters)

    lines.wake("d")

    assert [waiter.woken for waiter in waiters] == [1, 1, 1, 0]


def test_one_line_does_not_hold_up_another() -> None:
    lines = WaitingLines()
    stuck, other = Waiter(0, can_try=False), Waiter(0, id="e")
    join(lines, stuck, other)

    lines.wake()
    lines.wake("nobody waits for this")

    assert other.woken == 1


def test_who_comes_back_from_a_try_has_its_place_again() -> None:
    lines = WaitingLines()
    first, second, third = Waiter(1), Waiter(2), Waiter(3, can_try=False)
    join(lines, first, second, third)
    for waiter in (first, second):
        lines.leave(cast(Opening, waiter))

    lines.rejoin(cast(Opening, second))
    lines.rejoin(cast(Opening, first))
    first.can_try = False
    lines.wake("d")

    assert (first.woken, second.woken, third.woken) == (1, 0, 0)
    assert lines.demand() == {"d": (3, 1)}


def test_a_line_that_is_empty_is_forgotten() -> None:
    lines = WaitingLines()
    waiter = Waiter(5)
    join(lines, waiter)
    assert lines.has("d")

    lines.leave(cast(Opening, waiter))
    lines.leave(cast(Opening, waiter))

    assert not lines.has("d")
    assert lines.demand() == {}


def test_refusals_are_counted_per_deployment() -> None:
    lines = WaitingLines()
    for deployment_id in ("d", "d", "e"):
        lines.count_refusal(deployment_id)

    assert lines.refused_total == {"d": 2, "e": 1}
