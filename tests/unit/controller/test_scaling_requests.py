"""Baseten's window formula (control_plane.md section 1.1)."""

from __future__ import annotations

from typing import Any

import pytest

from penstock_controller.scaling.config import Metric, ScalingConfig
from penstock_controller.scaling.decision import Decision
from penstock_testing.scaling_kit import Watcher, config, fleet, look, ready, seen, starting


def requests(*, max_replica: int = 20, **settings: Any) -> ScalingConfig:
    """Ten requests per replica at 70 percent, as the example of the formula."""
    return config(max_concurrency=10, metric=Metric.REQUESTS, max_replica=max_replica, **settings)


def outcome(decision: Decision) -> tuple[int, str]:
    return decision.target, decision.reason.rule


def gone(decision: Decision) -> list[str]:
    assert all(victim.if_idle for victim in decision.victims)
    return [victim.replica_id for victim in decision.victims]


@pytest.mark.parametrize(("load", "replicas"), [(25, 4), (7, 1), (8, 2), (14, 2), (21, 3), (70, 10)])
def test_formula_gives_what_baseten_documents(load: int, replicas: int) -> None:
    """25 in flight, target 10, 70 percent: ceil(25 / 7) = 4."""
    decision = look(requests(), seen(*fleet(load, slots=100)))

    assert decision.inputs["load_asks_for"] == replicas
    assert decision.target == replicas


def test_error_of_floats_is_not_rounded_up() -> None:
    """21 / 0.7 is 30.000000000000004."""
    decision = look(requests(target_utilization_percentage=7.0, max_replica=99), seen(*fleet(21, slots=100)))

    assert decision.target == 30


def test_waiting_requests_are_load_too() -> None:
    decision = look(requests(), seen(*fleet(10, slots=10), waiting=15))

    assert outcome(decision) == (4, "window")
    assert decision.reason.text == "25.0 requests on average, 7 wanted per replica"


def test_load_is_averaged_over_the_window() -> None:
    watcher = Watcher(requests(autoscaling_window_s=60.0), target=1)
    watcher.look(seen(*fleet(0, slots=10)), 0.0)
    peak = seen(*fleet(10, slots=10), waiting=32)
    watcher.look(peak, 60.0)

    assert watcher.look(peak, 69.0).target == 1, "6.3 on average"
    assert watcher.look(peak, 70.5).inputs["average_load"] == pytest.approx(42 * 10.5 / 60)
    assert watcher.look(peak, 70.5).target == 2
    assert watcher.look(peak, 120.0).target == 6


def test_it_looks_again_while_the_average_moves() -> None:
    watcher = Watcher(requests(autoscaling_window_s=60.0), target=1)
    assert watcher.look(seen(*fleet(5, slots=10)), 0.0).evaluate_again_at is None

    assert watcher.look(seen(*fleet(6, slots=10)), 10.0).evaluate_again_at == 13.0
    assert watcher.look(seen(*fleet(6, slots=10)), 70.0).evaluate_again_at is None


def test_starting_replicas_are_not_ordered_twice() -> None:
    watcher = Watcher(requests())
    observation = seen(*fleet(25, slots=100), starting("a"), starting("b"), starting("c"))

    for now in range(100):
        assert watcher.look(observation, float(now), target=4).target == 4


def test_from_zero_there_is_no_delay_and_no_average() -> None:
    watcher = Watcher(requests())
    watcher.look(seen(), 0.0)

    assert outcome(watcher.look(seen(waiting=15), 1000.0)) == (3, "from_zero")


def test_least_and_most_replicas_hold() -> None:
    assert outcome(look(requests(min_replica=2), seen())) == (2, "min_replica")
    assert outcome(look(requests(initial=True), seen())) == (1, "initial")

    decision = look(requests(max_replica=3), seen(*fleet(25, 0, 0, slots=100)))
    assert outcome(decision) == (3, "at_max")
    assert decision.reason.blocked == "its load asks for 4 replicas, max_replica is 3"


def test_half_of_the_excess_goes_after_the_delay_and_again_after_another() -> None:
    watcher = Watcher(requests(scale_down_delay_s=900.0, max_scale_down_rate=50.0, autoscaling_window_s=10.0), target=9)
    observation = seen(*fleet(1, *[0] * 8, slots=10))

    first = watcher.look(observation, 0.0)
    assert (first.victims, first.evaluate_again_at) == ((), 900.0)
    assert first.reason.blocked == "next removal possible in 900 s"
    assert watcher.look(observation, 899.999).victims == ()

    due = watcher.look(observation, 900.0)
    assert gone(due) == ["r1", "r2", "r3", "r4"]
    assert outcome(due) == (9, "low_load"), "each counts until it has agreed to go"
    assert due.reason.text == "1.0 requests on average, 7 wanted per replica; 4 replicas of 8 too many"
    assert due.evaluate_again_at == 1800.0

    left = seen(ready("r0", 1, slots=10), *(ready(f"r{index}") for index in range(5, 9)))
    assert watcher.look(left, 1799.9, target=5).victims == ()
    assert gone(watcher.look(left, 1800.0)) == ["r5", "r6"]


def test_at_least_one_goes() -> None:
    watcher = Watcher(requests(scale_down_delay_s=0.0, max_scale_down_rate=1.0), target=3)

    assert gone(watcher.look(seen(*fleet(1, 0, 0, slots=10)))) == ["r1"]


def test_load_that_asks_for_them_begins_the_delay_anew() -> None:
    watcher = Watcher(requests(scale_down_delay_s=100.0, autoscaling_window_s=10.0), target=2)
    low, high = seen(*fleet(1, 0, slots=10)), seen(*fleet(9, 5, slots=10))
    watcher.look(low, 0.0)
    watcher.look(high, 50.0)
    watcher.look(high, 60.0)
    watcher.look(low, 61.0)
    watcher.look(low, 80.0)

    assert watcher.look(low, 100.0).victims == ()
    assert gone(watcher.look(low, 180.0)) == ["r1"]


def test_replica_with_a_request_stays() -> None:
    watcher = Watcher(requests(scale_down_delay_s=0.0, max_scale_down_rate=50.0), target=9)

    assert gone(watcher.look(seen(*fleet(1, 1, 1, 1, 1, 1, 0, 0, 1, slots=10)), 0.0)) == ["r6", "r7"]
    busy = watcher.look(seen(*fleet(*[1] * 7, slots=10)), 1.0, target=7)
    assert (busy.victims, busy.reason.blocked) == ((), "every replica serves requests")


def test_to_zero_only_without_any_load_in_the_window() -> None:
    watcher = Watcher(requests(scale_down_delay_s=0.0, autoscaling_window_s=60.0), target=1)
    watcher.look(seen(*fleet(1, slots=10)), 0.0)

    assert gone(watcher.look(seen(*fleet(0, slots=10)), 30.0)) == []
    assert gone(watcher.look(seen(*fleet(0, slots=10)), 89.0)) == []
    assert gone(watcher.look(seen(*fleet(0, slots=10)), 90.0)) == ["r0"]


@pytest.mark.parametrize(
    ("hindrance", "text"),
    [
        ({"waiting": 1}, "1 stream waits"),
        ({"recovering": True}, "the controller has restarted and has not heard of every replica yet"),
        ({"removing": True}, "a removal is under way"),
    ],
)
def test_nothing_goes_while_something_forbids_it(hindrance: dict[str, Any], text: str) -> None:
    watcher = Watcher(requests(scale_down_delay_s=0.0), target=4)

    decision = watcher.look(seen(*fleet(1, 0, 0, 0, slots=10), **hindrance))
    assert (decision.victims, decision.reason.blocked) == ((), text)


def test_ready_replicas_that_the_load_needs_stay_while_others_are_starting() -> None:
    watcher = Watcher(requests(scale_down_delay_s=0.0), target=4)

    decision = watcher.look(seen(*fleet(0, slots=10), starting("a"), starting("b"), starting("c")))
    assert (decision.victims, decision.reason.blocked) == ((), "the other replicas are still starting")


def test_superseded_deployment_gives_up_what_is_idle_at_once() -> None:
    decision = look(requests(superseded=True, min_replica=2), seen(*fleet(1, 0, 0, 0, slots=10), vacant=1))

    assert decision.target == 4
    assert gone(decision) == ["r1", "r2", "r3"]


def test_failing_places_go_before_replicas_that_work() -> None:
    watcher = Watcher(requests(scale_down_delay_s=0.0), target=3)

    decision = watcher.look(seen(*fleet(1, 0, slots=10), vacant=1, crash_looping=1))
    assert (decision.target, decision.victims) == (2, ())
    assert decision.reason.blocked == "1 of 3 replicas fails again and again"
