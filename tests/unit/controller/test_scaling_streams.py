"""The rule for streams. The traps are those of control_plane.md section 1.10."""

from __future__ import annotations

from typing import Any

import pytest

from penstock_controller.scaling.decision import Decision, Victim
from penstock_testing.scaling_kit import Watcher, config, draining, fleet, look, ready, seen, starting


def outcome(decision: Decision) -> tuple[int, str]:
    return decision.target, decision.reason.rule


def test_replica_is_added_when_every_ready_one_is_one_short_of_full() -> None:
    assert outcome(look(config(), seen(*fleet(7, 8)))) == (3, "all_busy")
    assert outcome(look(config(), seen(*fleet(7, 6)))) == (2, "steady")


@pytest.mark.parametrize("has_begun", [False, True])
def test_model_that_loads_is_counted_so_that_no_storm_of_starts_begins(has_begun: bool) -> None:
    """Trap 1: without it one replica is added per look for as long as the first one loads."""
    observation = seen(*fleet(7, 8), starting("new")) if has_begun else seen(*fleet(7, 8), vacant=1)
    watcher = Watcher(config(), target=3)

    for tenth in range(600):
        assert outcome(watcher.look(observation, tenth / 10)) == (3, "steady")


def test_one_slot_per_replica_does_not_grow_an_idle_fleet() -> None:
    """Trap 2: max_concurrency - 1 would be 0, and every idle replica would count as busy."""
    one = config(max_concurrency=1)

    assert outcome(look(one, seen(*fleet(0, slots=1)))) == (1, "steady")
    assert outcome(look(one, seen(*fleet(1, 0, slots=1)))) == (2, "steady")
    assert outcome(look(one, seen(*fleet(1, 1, slots=1)))) == (3, "all_busy")


def test_burst_adds_as_many_as_the_waiting_streams_need() -> None:
    """Trap 3: 30 wait, 3 slots are free and 8 are coming: 19 streams need 3 replicas of 8."""
    decision = look(config(), seen(*fleet(5, 8), starting("new"), waiting=30))

    assert outcome(decision) == (6, "burst")
    assert decision.reason.text == "30 streams wait, 3 free and 8 coming"


def test_burst_is_not_answered_twice() -> None:
    watcher = Watcher(config())
    assert watcher.look(seen(*fleet(8), waiting=20), 0.0, target=1).target == 4

    assert watcher.look(seen(*fleet(8), waiting=20, vacant=3), 0.05).target == 4
    assert watcher.look(seen(*fleet(8), starting("a"), starting("b"), starting("c"), waiting=24), 0.1).target == 4


def test_streams_that_fit_into_free_slots_are_no_burst() -> None:
    assert outcome(look(config(), seen(*fleet(0), waiting=8))) == (1, "steady")
    assert outcome(look(config(), seen(*fleet(0), waiting=9))) == (2, "burst")


def test_from_zero_there_is_no_delay() -> None:
    assert outcome(look(config(), seen(waiting=1))) == (1, "from_zero")
    assert outcome(look(config(), seen(waiting=17))) == (3, "from_zero")


def test_stream_that_was_admitted_a_moment_ago_is_not_counted_as_waiting_too() -> None:
    """Edges and replicas report apart: the replica already has the 8 that its edge still reports as waiting."""
    watcher = Watcher(config())
    watcher.look(seen(*fleet(0), starting("b"), waiting=16), 0.0, target=2)

    stale = watcher.look(seen(*fleet(8), starting("b"), waiting=16), 0.05)
    assert outcome(stale) == (2, "steady")
    assert stale.evaluate_again_at == pytest.approx(1.05)

    real = watcher.look(seen(*fleet(8), starting("b"), waiting=16), 1.05)
    assert outcome(real) == (3, "burst")


def test_growth_ends_at_the_most_replicas_and_says_so() -> None:
    bounded = config(max_replica=3)

    grown = look(bounded, seen(*fleet(8, 8), waiting=30))
    assert outcome(grown) == (3, "burst")
    assert grown.reason.blocked == "its load asks for 6 replicas, max_replica is 3"

    full = look(bounded, seen(*fleet(8, 8, 8)))
    assert outcome(full) == (3, "at_max")
    assert full.reason.blocked == "its load asks for 4 replicas, max_replica is 3"


def test_least_replicas_are_started_without_load() -> None:
    assert outcome(look(config(min_replica=2), seen())) == (2, "min_replica")
    assert outcome(look(config(initial=True), seen())) == (1, "initial")
    assert outcome(look(config(wanted_soon=True), seen())) == (1, "promotion")


def test_buffer_slots_are_kept_free_beyond_what_waits() -> None:
    buffered = config(buffer_slots=4)

    assert outcome(look(buffered, seen(*fleet(4)))) == (1, "steady")
    assert outcome(look(buffered, seen(*fleet(5)))) == (2, "buffer")
    assert outcome(look(buffered, seen(*fleet(5), starting("new")))) == (2, "steady")
    assert outcome(look(buffered, seen(*fleet(0), waiting=5))) == (2, "buffer")
    assert outcome(look(buffered, seen(*fleet(8), waiting=5))) == (3, "burst")
    assert outcome(look(buffered, seen())) == (1, "buffer")
    assert outcome(look(buffered, seen(waiting=5))) == (2, "from_zero")


def test_buffer_makes_up_for_the_missing_spare_of_a_single_slot() -> None:
    """Trap 2: with one slot per replica a stream waits for a whole start unless a slot is kept."""
    assert outcome(look(config(max_concurrency=1, buffer_slots=2), seen(*fleet(1, 0, slots=1)))) == (3, "buffer")


def rising(watcher: Watcher, *, per_second: float, seconds: int, begin: float = 100.0) -> tuple[int, list[str]]:
    """Replicas wanted at the end of a steady rise from 0 on 10 ready replicas, and the rules that changed it."""
    rules = []
    for second in range(seconds + 1):
        streams = int(second * per_second)
        shares = [streams // 10 + (index < streams % 10) for index in range(10)]
        decision = watcher.look(seen(*fleet(*shares), vacant=watcher.state.target - 10), begin + second)
        if decision.target != watcher.scaling.settings.min_replica:
            rules.append(decision.reason.rule)
    return watcher.state.target, [rule for rule in rules if rule != "steady"]


def knows_starts_of(startup_s: float, **settings: Any) -> Watcher:
    watcher = Watcher(config(min_replica=10, max_replica=99, **settings), target=10)
    watcher.look(seen(starting("r0"), vacant=9), 0.0)
    watcher.look(seen(ready("r0", age_s=startup_s), vacant=9), startup_s)
    return watcher


@pytest.mark.parametrize("buffer", [0, 8])
def test_rise_that_outruns_a_start_is_met_before_the_slots_run_out(buffer: int) -> None:
    """One more whenever all are busy would be one per start of 60 s: 8 slots, while 60 streams come."""
    target, rules = rising(knows_starts_of(60.0, buffer_slots=buffer), per_second=1.0, seconds=40)

    assert target == pytest.approx(10 + (40 + 65 + buffer - 80) / 8, abs=1)
    assert set(rules) == {"trend"}


def test_rise_that_does_not_outrun_a_start_needs_no_more_replicas() -> None:
    assert rising(knows_starts_of(2.0), per_second=1.0, seconds=60) == (10, [])


def test_nothing_is_expected_before_a_start_was_seen() -> None:
    watcher = Watcher(config(min_replica=10, max_replica=99), target=10)

    assert rising(watcher, per_second=1.0, seconds=60) == (10, [])


def test_superseded_deployment_expects_nothing() -> None:
    watcher = knows_starts_of(60.0)
    watcher.scaling = config(superseded=True, max_replica=99)

    assert rising(watcher, per_second=1.0, seconds=60)[0] == 10


def test_idle_replica_stays_while_streams_get_more() -> None:
    """Its slots are needed before another replica would be ready."""
    watcher = knows_starts_of(60.0)
    watcher.scaling = config(max_replica=99, scale_down_delay_s=0.0)
    watcher.look(seen(*fleet(8, 1, 0, 0, 0), removing=True), 70.0, target=5)

    decisions = [
        watcher.look(seen(*fleet(8, 1 + min(second, 6), 0, 0, 0)), 100.0 + second, target=5) for second in range(30)
    ]

    assert decisions[0].victims == (Victim("r2", if_idle=True),)
    assert [d.victims for d in decisions[1:21]] == [()] * 20
    assert decisions[12].reason.blocked == "19 streams more to be expected"
    assert decisions[12].evaluate_again_at == 121.0
    assert decisions[21].victims == (Victim("r2", if_idle=True),)


@pytest.mark.parametrize(
    "after",
    [
        pytest.param([5, 5, 40], id="comes, as one that is no longer drained"),
        pytest.param([5], id="goes, as one that is drained or has crashed"),
    ],
)
def test_replica_that_comes_or_goes_with_its_streams_is_no_trend(after: list[int]) -> None:
    watcher = knows_starts_of(60.0)
    for now in (100.0, 103.0, 106.0, 109.0):
        watcher.look(seen(*fleet(5, 5 + (now > 103.0), slots=100), vacant=8), now)

    decision = watcher.look(seen(*fleet(*after, slots=100)), 125.0, target=10)

    assert decision.inputs["expected_streams"] == 0


def test_suspect_replica_is_neither_room_nor_proof_that_there_is_none() -> None:
    silent = ready("silent", 0, suspect=True)

    assert outcome(look(config(), seen(silent))) == (1, "steady")
    assert outcome(look(config(), seen(ready("a", 7), silent))) == (3, "all_busy")
    assert outcome(look(config(), seen(silent, waiting=5))) == (2, "burst")


def test_draining_replica_is_no_capacity_and_no_load() -> None:
    assert outcome(look(config(), seen(*fleet(0), draining("d", 8)), target=1)) == (1, "steady")
