from __future__ import annotations

import pytest

from penstock_controller.scaling.config import Metric
from penstock_controller.scaling.decision import PolicyState
from penstock_controller.scaling.situation import survey
from penstock_controller.scaling.trend import STARTUPS_MAX
from penstock_testing.scaling_kit import config, draining, failed, fleet, ready, seen, starting


@pytest.mark.parametrize(
    ("settings", "minimum", "floor"),
    [
        ({"min_replica": 2}, 2, "min_replica"),
        ({"min_replica": 2, "superseded": True}, 0, "min_replica"),
        ({"initial": True}, 1, "initial"),
        ({"initial": True, "min_replica": 3}, 3, "min_replica"),
        ({"wanted_soon": True}, 1, "promotion"),
        ({"wanted_soon": True, "superseded": True, "min_replica": 3}, 1, "promotion"),
        ({"initial": True, "max_replica": 0}, 0, "initial"),
    ],
)
def test_least_replicas_follow_what_is_asked_for(settings: dict[str, int], minimum: int, floor: str) -> None:
    situation = survey(config(**settings), PolicyState(), seen(), 0.0)

    assert (situation.minimum, situation.floor) == (minimum, floor)


def test_what_is_to_come_are_the_places_without_a_ready_replica() -> None:
    observation = seen(ready("a"), starting("b"), failed("c"), vacant=2, crash_looping=1)

    situation = survey(config(), PolicyState(5), observation, 0.0)

    assert (situation.places, situation.vacant, situation.coming) == (5, 2, 3)


def test_places_that_the_caller_has_not_made_yet_are_to_come() -> None:
    assert survey(config(), PolicyState(3), seen(ready("a")), 0.0).coming == 2


def test_place_of_a_draining_replica_is_about_to_be_vacant() -> None:
    situation = survey(config(), PolicyState(2), seen(ready("a"), draining("b", 3)), 0.0)

    assert (situation.vacant, situation.coming) == (1, 1)


def test_replicas_without_a_target_are_kept() -> None:
    """As after a restart of the controller that has forgotten its target."""
    assert survey(config(), PolicyState(), seen(*fleet(1, 2)), 0.0).places == 2


def test_more_failures_than_places_are_not_believed() -> None:
    situation = survey(config(), PolicyState(1), seen(vacant=1, crash_looping=9), 0.0)

    assert (situation.crash_looping, situation.coming) == (1, 0)
    assert situation.failures() == "1 of 1 replica fails again and again"


def test_moment_of_the_first_failure_is_remembered_until_none_fails() -> None:
    failing = seen(vacant=1, crash_looping=1)

    state = survey(config(), PolicyState(1), failing, 5.0).state
    assert state.failing_since == 5.0
    assert survey(config(), state, failing, 9.0).state.failing_since == 5.0
    assert survey(config(), state, seen(ready("a")), 9.0).state.failing_since is None


def test_only_what_the_metric_needs_is_remembered() -> None:
    by_requests = survey(config(metric=Metric.REQUESTS), PolicyState(1), seen(*fleet(3), waiting=2), 5.0).state
    assert (by_requests.samples, by_requests.admissions, by_requests.levels) == (((5.0, 5.0),), (), ())

    by_streams = survey(config(), PolicyState(1), seen(*fleet(3), waiting=2), 5.0).state
    assert (by_streams.samples, by_streams.admissions, by_streams.levels) == ((), ((5.0, 3),), ((5.0, 5),))


def test_time_of_the_last_starts_is_remembered() -> None:
    state = PolicyState(9)
    for number in range(STARTUPS_MAX + 2):
        state = survey(config(), state, seen(starting("r")), number).state
        state = survey(config(), state, seen(ready("r", age_s=30.0 + number)), number + 0.5).state

    assert state.startups == (32.0, 33.0, 34.0, 35.0, 36.0)


def test_stream_that_was_admitted_a_moment_ago_is_no_rise() -> None:
    """Its edge still reports it as waiting."""
    state = survey(config(), PolicyState(1), seen(*fleet(0), waiting=5), 0.0).state
    state = survey(config(), state, seen(*fleet(5), waiting=5), 9.0).state

    assert state.levels == ((0.0, 5),)


def test_streams_that_are_heard_of_again_after_a_restart_are_no_rise() -> None:
    state = PolicyState(3)
    for second in range(4):
        state = survey(config(), state, seen(*fleet(8 * second), recovering=True), float(second)).state

    assert survey(config(), state, seen(*fleet(24)), 4.0).state.levels == ((3.0, 24),)
