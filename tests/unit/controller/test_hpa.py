from __future__ import annotations

import pytest

from penstock_controller.scaling.config import ScalingSettings
from penstock_controller.simulate.baselines.hpa import Hpa, HpaSettings, Stabilization, limited, recommended
from penstock_testing.baselines import observed

DEFAULTS = HpaSettings()
SETTINGS = ScalingSettings(min_replica=0, max_replica=50, max_concurrency=10)


@pytest.mark.parametrize(
    ("load", "target", "replicas", "count"),
    [
        (25, 7, 1, 4),
        (12, 1, 10, 12),
        (12, 1, 11, 11),  # 1.09: the tolerance swallows it
        (13, 1, 11, 13),
        (62, 7, 10, 9),
        (64, 7, 10, 10),  # 0.91
        (0, 7, 3, 0),
        (100, 7, 0, 0),  # with no replicas it does nothing
    ],
)
def test_recommendation_keeps_what_there_is_within_the_tolerance(
    load: float, target: float, replicas: int, count: int
) -> None:
    assert recommended(load, target, replicas, 0.1) == count


def test_replicas_go_only_to_the_most_that_was_recommended_in_five_minutes() -> None:
    stabilization = Stabilization(300.0, 10, now=0.0)

    assert stabilization.follow(4, 10, 100.0) == 10
    assert stabilization.follow(6, 10, 200.0) == 10
    assert stabilization.follow(3, 10, 301.0) == 6
    assert stabilization.follow(3, 6, 401.0) == 6
    assert stabilization.follow(3, 6, 501.0) == 3


def test_peak_that_the_policies_cut_short_is_not_made_up_for_later() -> None:
    stabilization = Stabilization(300.0, 1, now=0.0)
    assert stabilization.follow(20, 1, 15.0) == 20

    assert stabilization.follow(3, 5, 30.0) == 5


def test_more_replicas_are_not_held_back() -> None:
    assert Stabilization(300.0, 10, now=0.0).follow(12, 10, 1.0) == 12


@pytest.mark.parametrize(
    ("aim", "replicas", "added", "count"),
    [(50, 1, 0, 5), (50, 4, 0, 8), (50, 10, 0, 20), (50, 5, 4, 5), (50, 6, 3, 7), (0, 10, 0, 0)],
)
def test_four_replicas_or_as_many_again_come_per_period(aim: int, replicas: int, added: int, count: int) -> None:
    assert limited(aim, replicas, added, 0, DEFAULTS) == count


def test_it_looks_every_fifteen_seconds_and_doubles() -> None:
    hpa = Hpa(SETTINGS)
    targets = [
        hpa.look(observed(7, waiting=500), now).target for now in (0.0, 14.9, 15.0, 29.9, 30.0, 45.0, 60.0, 75.0)
    ]

    assert targets == [1, 1, 5, 5, 10, 20, 40, 50]
    assert hpa.look(observed(7), 76.0).look_again_at == 90.0


def test_one_replica_stays_without_any_stream() -> None:
    hpa = Hpa(SETTINGS)
    targets = [hpa.look(observed(0), 15.0 * step).target for step in range(100)]

    assert set(targets) == {1}


def test_victims_are_the_newest_with_whatever_they_carry() -> None:
    assert Hpa.cuts_streams and Hpa.grace_s == 30
    assert Hpa(SETTINGS).choose_victims(observed(0, 5, starting=1), 2) == ["replica-2", "replica-1"]
