from __future__ import annotations

import pytest

from penstock_controller.scaling.config import ScalingSettings
from penstock_controller.simulate.baselines.kpa import Kpa, KpaSettings, Panic, is_panic, wanted
from penstock_testing.baselines import observed

DEFAULTS = KpaSettings()
SETTINGS = ScalingSettings(min_replica=0, max_replica=50, max_concurrency=10)


def run(kpa: Kpa, start: float, seconds: float, *active: int, waiting: int = 0) -> list[int]:
    """Targets at each tick while `active` streams are on the ready replicas."""
    targets, now = [], start
    while now < start + seconds:
        targets.append(kpa.look(observed(*active, waiting=waiting), now).target)
        now += DEFAULTS.tick_s
    return targets


@pytest.mark.parametrize(
    ("average", "ready", "count"),
    [
        (25, 1, 4),
        (0, 1, 0),
        (0, 4, 2),  # a half at most goes at once
        (0, 5, 2),
        (8000, 1, 1000),  # a thousandfold at most comes at once
        (100, 0, 15),  # none is counted as one
    ],
)
def test_wanted_is_the_load_over_the_target_within_the_rates(average: float, ready: int, count: int) -> None:
    assert wanted(average, 10 * 0.7, ready, DEFAULTS) == count


@pytest.mark.parametrize(
    ("load", "ready", "panics"), [(13, 1, True), (7, 1, False), (20, 2, False), (22, 2, True), (8, 0, True)]
)
def test_panics_from_twice_the_ready_replicas_on(load: float, ready: int, panics: bool) -> None:
    assert is_panic(load, 7.0, ready, DEFAULTS) is panics


def test_panic_takes_nothing_away_and_ends_a_stable_window_after_the_last_peak() -> None:
    panic = Panic()

    assert panic.follow(True, 2, 8, 0.0, DEFAULTS) == 8
    assert panic.follow(False, 2, 1, 30.0, DEFAULTS) == 8
    assert panic.follow(True, 2, 9, 40.0, DEFAULTS) == 9
    assert panic.follow(False, 2, 1, 100.0, DEFAULTS) == 9
    assert panic.follow(False, 2, 1, 101.0, DEFAULTS) == 2


def test_burst_is_answered_by_the_panic_window_long_before_the_stable_one_is_full() -> None:
    kpa = Kpa(SETTINGS)
    run(kpa, 0, 60, 2)

    targets = run(kpa, 60, 10, 2, waiting=60)

    assert targets[-1] >= 62 / 7


def test_last_replica_goes_after_a_stable_window_without_streams_and_the_grace() -> None:
    kpa = Kpa(SETTINGS)
    run(kpa, 0, 60, 3)

    targets = run(kpa, 60, 120, 0)

    zero_at = 60 + targets.index(0) * DEFAULTS.tick_s
    assert zero_at == 60 + DEFAULTS.stable_window_s + DEFAULTS.scale_to_zero_grace_s


def test_first_waiting_stream_starts_a_replica_between_two_ticks() -> None:
    kpa = Kpa(SETTINGS)
    run(kpa, 0, 200, 0)
    assert kpa.target == 0

    assert kpa.look(observed(waiting=1), 199.5).target == 1


def test_target_keeps_within_the_limits() -> None:
    kpa = Kpa(ScalingSettings(min_replica=2, max_replica=3, max_concurrency=10))

    assert max(run(kpa, 0, 60, 10, 10, waiting=100)) == 3
    assert min(run(kpa, 60, 300, 0, 0, 0)) == 2


def test_victims_are_the_newest_with_whatever_they_carry() -> None:
    assert Kpa.cuts_streams and Kpa.grace_s == 60 + 30
    assert Kpa(SETTINGS).choose_victims(observed(0, 5), 1) == ["replica-1"]
