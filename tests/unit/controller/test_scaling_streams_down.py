"""When replicas go, with the rule for streams. The traps are those of control_plane.md section 1.10."""

from __future__ import annotations

from typing import Any

import pytest

from penstock_controller.scaling.config import ScalingConfig
from penstock_controller.scaling.decision import Decision, Victim
from penstock_controller.scaling.observation import Observation
from penstock_testing.scaling_kit import Watcher, config, fleet, look, ready, seen, starting


def outcome(decision: Decision) -> tuple[int, str]:
    return decision.target, decision.reason.rule


def scaled(watcher: Watcher, observation: Observation, now: float, *, target: int | None = None) -> list[str]:
    """The replicas that are asked to go, each only if it is idle."""
    decision = watcher.look(observation, now) if target is None else watcher.look(observation, now, target=target)
    assert all(victim.if_idle for victim in decision.victims)
    return [victim.replica_id for victim in decision.victims]


def test_idle_replica_goes_exactly_when_the_delay_is_over() -> None:
    watcher = Watcher(config(scale_down_delay_s=30.0), target=2)
    observation = seen(*fleet(3, 0))

    first = watcher.look(observation, 1000.0)
    assert (first.victims, first.evaluate_again_at) == ((), 1030.0)
    assert first.reason.blocked == "next removal possible in 30 s"
    assert watcher.look(observation, 1029.999).victims == ()
    assert watcher.state.last_removal_at is None

    due = watcher.look(observation, 1030.0)
    assert due.victims == (Victim("r1", if_idle=True),)
    assert outcome(due) == (2, "idle_replica"), "it counts until it has agreed to go"
    assert due.reason.text == "r1 has had no stream for 30 s"
    assert watcher.state.last_removal_at == 1030.0


def test_stream_begins_the_delay_anew() -> None:
    watcher = Watcher(config(scale_down_delay_s=30.0), target=2)
    watcher.look(seen(*fleet(3, 0)), 0.0)
    watcher.look(seen(*fleet(3, 1)), 20.0)
    watcher.look(seen(*fleet(3, 0)), 21.0)

    assert scaled(watcher, seen(*fleet(3, 0)), 50.9) == []
    assert scaled(watcher, seen(*fleet(3, 0)), 51.0) == ["r1"]


def test_idle_time_of_a_replica_begins_when_it_is_ready() -> None:
    """A model that loads for longer than the delay must not be removed in the moment it is ready, nor before."""
    watcher = Watcher(config(scale_down_delay_s=30.0), target=2)
    for now in (0.0, 100.0, 200.0):
        assert scaled(watcher, seen(*fleet(3), starting("slow", age_s=now)), now) == []

    assert scaled(watcher, seen(*fleet(3), ready("slow")), 300.0) == []
    assert scaled(watcher, seen(*fleet(3), ready("slow")), 330.0) == ["slow"]


def test_replicas_go_one_by_one_with_the_interval_in_between() -> None:
    watcher = Watcher(config(scale_down_delay_s=30.0, scale_down_interval_s=10.0), target=4)
    watcher.look(seen(*fleet(1, 0, 0, 0)), 0.0)

    first = watcher.look(seen(*fleet(1, 0, 0, 0)), 30.0)
    assert ([v.replica_id for v in first.victims], first.evaluate_again_at) == (["r1"], 40.0)

    left = seen(ready("r0", 1), ready("r2"), ready("r3"))
    assert scaled(watcher, left, 39.9, target=3) == []
    assert watcher.look(left, 39.9).evaluate_again_at == 40.0
    assert scaled(watcher, left, 40.0) == ["r2"]


def test_no_second_one_goes_while_the_first_has_not_answered() -> None:
    watcher = Watcher(config(scale_down_delay_s=0.0, scale_down_interval_s=0.0), target=3)

    assert scaled(watcher, seen(*fleet(1, 0, 0)), 0.0) == ["r1"]
    waiting = watcher.look(seen(*fleet(1, 0, 0), removing=True), 5.0)
    assert (waiting.victims, waiting.reason.blocked) == ((), "a removal is under way")


def test_longest_idle_goes_first_and_among_equals_the_smallest_id() -> None:
    watcher = Watcher(config(scale_down_delay_s=0.0), target=4)
    watcher.look(seen(ready("z"), ready("a", 1), ready("b", 1), ready("c", 3), removing=True), 0.0)
    watcher.look(seen(ready("z"), ready("a"), ready("b"), ready("c", 3), removing=True), 1.0)

    assert scaled(watcher, seen(ready("z"), ready("a"), ready("b"), ready("c", 3)), 2.0) == ["z"]
    assert scaled(watcher, seen(ready("b"), ready("a"), ready("c", 3)), 20.0, target=3) == ["a"]


def test_spare_is_kept_when_all_others_are_busy() -> None:
    """Trap 4: the rule all_busy would start it again, and so on for as long as the quiet streams last."""
    watcher = Watcher(config(scale_down_delay_s=0.0, scale_down_interval_s=0.0), target=3)

    kept = watcher.look(seen(*fleet(7, 8, 0)), 5000.0)
    assert kept.victims == ()
    assert kept.reason.blocked == "removing the idle replica would leave every replica at 7 or more streams"
    assert scaled(watcher, seen(*fleet(6, 8, 0)), 5000.0) == ["r2"]


def test_spare_is_kept_with_one_slot_per_replica_too() -> None:
    watcher = Watcher(config(max_concurrency=1, scale_down_delay_s=0.0), target=3)

    assert scaled(watcher, seen(*fleet(1, 1, 0, slots=1)), 100.0) == []
    assert scaled(watcher, seen(*fleet(1, 0, 0, slots=1)), 200.0) == ["r2"]


def test_last_replica_goes_when_there_is_no_stream_at_all() -> None:
    watcher = Watcher(config(scale_down_delay_s=30.0), target=1)
    watcher.look(seen(*fleet(0)), 0.0)
    assert scaled(watcher, seen(*fleet(0)), 30.0) == ["r0"]

    others = Watcher(config(scale_down_delay_s=0.0), target=2)
    assert scaled(others, seen(ready("a"), ready("b", 4, suspect=True)), 10.0) == []


def test_never_below_the_least_replicas() -> None:
    watcher = Watcher(config(min_replica=2, scale_down_delay_s=0.0), target=2)

    decision = watcher.look(seen(*fleet(0, 0)), 9000.0)
    assert (decision.victims, decision.reason.blocked, decision.evaluate_again_at) == ((), "", None)


def test_replicas_that_cannot_serve_do_not_count_towards_the_least() -> None:
    """Else the only one that works could go, and leave those that fail or are not heard of."""
    watcher = Watcher(config(min_replica=1, scale_down_delay_s=0.0), target=2)

    assert scaled(watcher, seen(ready("a"), ready("b", suspect=True)), 100.0) == []
    assert scaled(watcher, seen(ready("a"), starting("b"), crash_looping=1), 200.0) == []
    assert scaled(watcher, seen(ready("a"), ready("b")), 300.0) == ["a"]


def test_last_ready_replica_stays_while_others_are_starting() -> None:
    watcher = Watcher(config(scale_down_delay_s=0.0), target=2)

    decision = watcher.look(seen(ready("a"), starting("b")), 100.0)
    assert (decision.victims, decision.reason.blocked) == ((), "the other replicas are still starting")


@pytest.mark.parametrize(
    ("hindrance", "text"),
    [
        ({"waiting": 3}, "3 streams wait"),
        ({"recovering": True}, "the controller has restarted and has not heard of every replica yet"),
        ({"removing": True}, "a removal is under way"),
    ],
)
def test_nothing_goes_while_something_forbids_it(hindrance: dict[str, Any], text: str) -> None:
    watcher = Watcher(config(scale_down_delay_s=0.0), target=3)

    decision = watcher.look(seen(*fleet(1, 0, 0), **hindrance), 100.0)
    assert (decision.victims, decision.reason.blocked) == ((), text)


def test_suspect_replica_never_goes_and_begins_anew_when_it_is_back() -> None:
    watcher = Watcher(config(scale_down_delay_s=30.0), target=2)
    watcher.look(seen(*fleet(1, 0)), 0.0)
    silent = seen(ready("r0", 1), ready("r1", suspect=True))
    assert scaled(watcher, silent, 60.0) == []

    assert scaled(watcher, seen(*fleet(1, 0)), 61.0) == []
    assert scaled(watcher, seen(*fleet(1, 0)), 91.0) == ["r1"]


def test_buffer_is_kept_when_replicas_go() -> None:
    watcher = Watcher(config(buffer_slots=4, scale_down_delay_s=0.0), target=3)

    kept = watcher.look(seen(*fleet(8, 5, 0)), 100.0)
    assert (kept.victims, kept.reason.blocked) == ((), "buffer_slots is 4")
    assert scaled(watcher, seen(*fleet(8, 4, 0)), 100.0) == ["r2"]


def test_lowering_max_concurrency_never_ends_a_stream() -> None:
    watcher = Watcher(config(max_concurrency=2, scale_down_delay_s=0.0), target=3)

    decision = watcher.look(seen(*fleet(8, 5, 3)), 1000.0)
    assert decision.victims == ()
    assert outcome(decision) == (4, "all_busy")


# Deployments that are superseded.


def superseded(**settings: Any) -> ScalingConfig:
    return config(superseded=True, min_replica=2, scale_down_delay_s=900.0, **settings)


def test_superseded_deployment_gives_up_what_is_idle_at_once() -> None:
    watcher = Watcher(superseded(), target=3)
    assert scaled(watcher, seen(*fleet(8, 0, 0)), 0.0) == ["r1"]
    assert scaled(watcher, seen(ready("r0", 8), ready("r2")), 0.1, target=2) == ["r2"]
    assert scaled(watcher, seen(ready("r0", 8)), 0.2, target=1) == []
    assert scaled(watcher, seen(ready("r0")), 9.0) == ["r0"]


def test_superseded_deployment_keeps_no_spare_and_no_buffer() -> None:
    assert outcome(look(superseded(buffer_slots=8), seen(*fleet(8, 8)))) == (2, "steady")


def test_superseded_deployment_still_serves_who_asks_for_it() -> None:
    assert outcome(look(superseded(), seen(waiting=1))) == (1, "from_zero")
    assert outcome(look(superseded(), seen(*fleet(8), waiting=1))) == (2, "burst")


def test_superseded_deployment_does_not_start_what_nobody_needs() -> None:
    decision = look(superseded(), seen(*fleet(3), vacant=2))

    assert outcome(decision) == (1, "superseded")


def test_rollback_treats_a_superseded_deployment_as_wanted() -> None:
    watcher = Watcher(config(superseded=True, wanted_soon=True), target=2)

    assert scaled(watcher, seen(*fleet(0, 0)), 0.0) == []
    assert watcher.look(seen(*fleet(0, 0)), 0.0).evaluate_again_at == 900.0


# Replicas that fail again and again.


def test_failing_replica_is_no_capacity_to_come() -> None:
    decision = look(config(), seen(*fleet(8), starting("bad"), crash_looping=1))

    assert outcome(decision) == (3, "all_busy")
    assert decision.reason.blocked == "1 of 2 replicas fails again and again"


def test_failing_replicas_are_not_answered_with_ever_more_of_them() -> None:
    """A second replica may find no device: the third would not find one either."""
    decision = look(config(), seen(*fleet(8), vacant=2, crash_looping=2, waiting=50))

    assert outcome(decision) == (3, "steady")
    assert decision.reason.blocked == "2 of 3 replicas fail again and again, none is added until they work"


def test_model_that_cannot_be_loaded_does_not_grow_from_zero_again_and_again() -> None:
    watcher = Watcher(config())
    assert outcome(watcher.look(seen(waiting=20), 0.0)) == (3, "from_zero")

    for now in range(1, 50):
        assert watcher.look(seen(vacant=3, crash_looping=3, waiting=100), float(now)).target == 3


def test_failing_replica_is_given_up_when_no_stream_needs_it() -> None:
    watcher = Watcher(config(scale_down_delay_s=30.0), target=2)
    observation = seen(*fleet(3), vacant=1, crash_looping=1)

    assert watcher.look(observation, 0.0).evaluate_again_at == 30.0
    assert watcher.look(observation, 29.9).target == 2
    decision = watcher.look(observation, 30.0)
    assert outcome(decision) == (1, "failing_replica")
    assert decision.victims == ()


# Fragments.


def test_emptiest_surplus_replica_becomes_the_last_choice() -> None:
    """Trap 5: 9 streams at 7 or more per replica need 2 replicas, and spread over 4 none of them ever gets empty."""
    observation = seen(*fleet(3, 2, 1, 3))

    assert look(config(cordon_surplus=True), observation).cordoned == {"r2"}
    assert look(config(), observation).cordoned == frozenset()
    assert look(config(cordon_surplus=True), seen(*fleet(5, 4))).cordoned == frozenset()
    assert look(config(cordon_surplus=True, min_replica=4), observation).cordoned == frozenset()
    assert look(config(cordon_surplus=True), seen(*fleet(3, 2, 1, 3), waiting=20)).cordoned == frozenset()


def test_cordoned_replica_stays_the_same_until_it_is_needed() -> None:
    watcher = Watcher(config(cordon_surplus=True), target=4)

    assert watcher.look(seen(*fleet(3, 2, 1, 3))).cordoned == {"r2"}
    assert watcher.look(seen(*fleet(3, 1, 2, 3))).cordoned == {"r2"}
    assert watcher.look(seen(*fleet(8, 8, 2, 8), waiting=2)).cordoned == frozenset()


def test_suspect_replica_is_not_chosen_as_surplus() -> None:
    observation = seen(*fleet(3, 2, 3), ready("silent", 0, suspect=True))

    assert look(config(cordon_surplus=True), observation).cordoned == {"r1"}
    assert look(config(cordon_surplus=True, min_replica=3), observation).cordoned == frozenset()
