from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

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
    lines: WaitingLines | None = None
    """Where it stands."""

    @property
    def deployment(self) -> Deployment:
        return Deployment(self.id, "m", False, (), (), StreamSettings(queue_streams_max=self.limit))

    def wake(self) -> bool:
        self.woken += 1
        if self.can_try:
            assert self.lines is not None
            self.lines.step_out(cast(Opening, self))
        return self.can_try


def join(lines: WaitingLines, *waiters: Waiter) -> list[bool]:
    for waiter in waiters:
        waiter.lines = lines
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

    lines.wake("d", 100)

    assert [waiter.woken for waiter in waiters] == [1, 1, 1, 0]


def test_no_more_are_woken_at_once_than_asked_for() -> None:
    lines = WaitingLines()
    waiters = [Waiter(number) for number in range(5)]
    join(lines, *waiters)

    assert lines.wake("d", 2)
    assert [waiter.woken for waiter in waiters] == [1, 1, 0, 0, 0]
    assert lines.wake("d", 2)
    assert not lines.wake("d", 2), "nobody is left"
    assert not lines.wake("d", 0)


def test_one_line_does_not_hold_up_another() -> None:
    lines = WaitingLines()
    stuck, other = Waiter(0, can_try=False), Waiter(0, id="e")
    join(lines, stuck, other)

    for id in lines.deployments():
        assert not lines.wake(id, 100)
    assert not lines.wake("nobody waits for this", 100)

    assert other.woken == 1


def test_who_comes_back_from_a_try_has_its_place_again() -> None:
    lines = WaitingLines()
    first, second, third = Waiter(1), Waiter(2), Waiter(3, can_try=False)
    join(lines, first, second, third)
    lines.wake("d", 100)
    assert lines.demand() == {"d": (1, 3)}

    lines.step_in(cast(Opening, second))
    lines.step_in(cast(Opening, first))
    first.can_try = False
    lines.wake("d", 100)

    assert (first.woken, second.woken, third.woken) == (2, 1, 1)
    assert lines.demand() == {"d": (3, 1)}


def test_who_is_back_at_once_is_not_woken_again() -> None:
    """Its try failed within the call, and nothing else was left to try."""

    class Returning(Waiter):
        def wake(self) -> bool:
            super().wake()
            assert self.lines is not None
            self.lines.step_in(cast(Opening, self))
            return True

    lines = WaitingLines()
    waiter, behind = Returning(0), Waiter(1)
    join(lines, waiter, behind)

    lines.wake("d", 100)

    assert (waiter.woken, behind.woken) == (1, 0)


def test_the_place_of_one_who_tries_is_kept() -> None:
    """Else a line would grow beyond its limit by those who come back."""
    lines = WaitingLines()
    trying = Waiter(0, limit=2)
    join(lines, trying)
    lines.wake("d", 100)
    assert not lines.has("d")
    assert lines.length("d") == 0

    assert join(lines, Waiter(1, limit=2), Waiter(2, limit=2)) == [True, False]

    lines.leave(cast(Opening, trying))
    assert join(lines, Waiter(3, limit=2)) == [True]


def test_nobody_gets_a_place_back_that_was_given_up() -> None:
    lines = WaitingLines()
    waiter = Waiter(0)
    join(lines, waiter)
    lines.leave(cast(Opening, waiter))

    lines.step_in(cast(Opening, waiter))
    lines.step_out(cast(Opening, waiter))

    assert lines.demand() == {}
    assert lines.first("d") is None


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


MANY = 10_000


def test_the_work_for_a_line_of_ten_thousand_grows_with_those_who_are_woken() -> None:
    """It takes a third of a second. What copies, sorts or searches the whole line each time takes half a minute."""
    lines = WaitingLines()
    waiters = [Waiter(number, limit=MANY) for number in range(MANY)]
    began = perf_counter()

    assert all(join(lines, *waiters))
    for waiter in waiters:  # one slot at a time, taken by another edge each time
        following = waiters[(int(waiter.waiting_since) + 1) % MANY]
        following.can_try = False
        lines.wake("d", 100)
        assert waiter.woken
        lines.step_in(cast(Opening, waiter))
        assert lines.first("d") is cast(Opening, waiter)
        lines.leave(cast(Opening, waiter))
        lines.demand()
        following.can_try = True

    assert not lines.has("d")
    assert perf_counter() - began < 10


def test_those_who_leave_from_amid_a_line_leave_nothing_behind() -> None:
    lines = WaitingLines()
    first = Waiter(0, limit=MANY)
    join(lines, first)

    for number in range(1, 1000):
        waiter = Waiter(number, limit=MANY)
        join(lines, waiter)
        lines.leave(cast(Opening, waiter))

    assert len(lines._lines["d"]._heap) < 100


ACTIONS = st.lists(st.tuples(st.sampled_from(["join", "wake", "return", "leave"]), st.integers(0, 9)), max_size=60)


@given(ACTIONS, st.integers(0, 6))
def test_whatever_happens_a_line_keeps_its_order_and_its_limit(actions: list[tuple[str, int]], limit: int) -> None:
    lines = WaitingLines()
    standing: list[Waiter] = []
    trying: list[Waiter] = []
    count = 0
    for action, index in actions:
        if action == "join":
            count += 1
            waiter = Waiter(count, limit=limit)
            (joined,) = join(lines, waiter)
            assert joined == (len(standing) + len(trying) < limit)
            standing += [waiter] * joined
        elif action == "wake" and standing:
            for number, waiter in enumerate(standing):
                waiter.can_try = number < index
            lines.wake("d", 100)
            trying += standing[:index]
            del standing[:index]
        elif action == "return" and trying:
            waiter = trying.pop(index % len(trying))
            lines.step_in(cast(Opening, waiter))
            standing = sorted([*standing, waiter], key=lambda one: one.waiting_since)
        elif action == "leave" and (everyone := standing + trying):
            waiter = everyone[index % len(everyone)]
            lines.leave(cast(Opening, waiter))
            (standing if waiter in standing else trying).remove(waiter)
        assert lines.length("d") == len(standing)
        assert lines.has("d") == bool(standing)
        assert lines.first("d") is (cast(Opening, standing[0]) if standing else None)
        assert lines.demand() == ({"d": (len(standing), standing[0].waiting_since)} if standing else {})
