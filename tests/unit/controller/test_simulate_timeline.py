from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock_controller.simulate.timeline import Timeline


def test_actions_happen_in_the_order_of_their_times_and_then_of_their_planning() -> None:
    timeline, seen = Timeline(), list[str]()
    for at, name in ((2.0, "late"), (1.0, "first"), (1.0, "second")):
        timeline.at(at, seen.append, name)

    timeline.run(10.0, 100)

    assert seen == ["first", "second", "late"]
    assert timeline.now == 10.0


def test_what_is_planned_for_the_past_happens_now() -> None:
    timeline, seen = Timeline(), list[float]()
    timeline.at(5.0, lambda: timeline.at(1.0, lambda: seen.append(timeline.now)))

    timeline.run(10.0, 100)

    assert seen == [5.0]


def test_a_run_stops_at_its_end_and_after_its_count_and_goes_on_later() -> None:
    timeline, seen = Timeline(), list[int]()
    for number in range(4):
        timeline.at(float(number), seen.append, number)

    assert timeline.run(2.0, 2) == 2
    assert (seen, timeline.now) == ([0, 1], 1.0)
    assert timeline.run(2.0, 2) == 1
    assert (seen, timeline.now) == ([0, 1, 2], 2.0)


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(-10, 100)), max_size=30))
def test_time_never_goes_back(plans: list[tuple[float, float]]) -> None:
    timeline, seen = Timeline(), list[float]()
    for at, then in plans:
        timeline.at(at, timeline.at, at + then, lambda: seen.append(timeline.now))

    timeline.run(1000.0, 1000)

    assert seen == sorted(seen)
    assert len(seen) == len(plans)
