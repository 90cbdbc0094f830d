from __future__ import annotations

from itertools import pairwise

import pytest

from penstock_controller.scaling.config import ScalingSettings
from penstock_controller.simulate.baselines.ray_serve import RayServe, RayServeSettings, Wish, desired
from penstock_testing.baselines import observed

DEFAULTS = RayServeSettings()
GENTLE = RayServeSettings(upscaling_factor=0.5, downscaling_factor=0.2)
SETTINGS = ScalingSettings(min_replica=0, max_replica=50, max_concurrency=27)
"""20 requests per replica at the middle of the advice."""


@pytest.mark.parametrize(
    ("load", "replicas", "settings", "count"),
    [
        (50, 1, DEFAULTS, 3),
        (100, 1, GENTLE, 3),  # half of the way from 1 to 5
        (10, 10, GENTLE, 9),  # a fifth of the way from 10 to 0.5, rounded up
        (79, 5, GENTLE, 4),  # ceil(4.79) would keep 5 for ever: the guard against being stuck
        (81, 5, GENTLE, 5),
        (0, 3, DEFAULTS, 1),  # to none only from one
        (0, 1, DEFAULTS, 0),
        (1, 0, DEFAULTS, 1),
    ],
)
def test_desired_goes_a_factor_of_the_way(load: float, replicas: int, settings: RayServeSettings, count: int) -> None:
    assert desired(load, 20.0, replicas, settings) == count


def test_wish_begins_anew_when_its_direction_changes() -> None:
    wish = Wish()

    assert wish.follow(3, 2, 10.0) == 0
    assert wish.follow(5, 2, 30.0) == 20
    assert wish.follow(1, 2, 31.0) == 0
    assert wish.follow(2, 2, 32.0) == 0
    assert wish.follow(1, 2, 40.0) == 0


def look_on(ray: RayServe, start: float, seconds: float, *active: int, waiting: int = 0) -> list[tuple[float, int]]:
    """Looks as it asks for, and returns each time with the target."""
    now, targets = start, []
    while now < start + seconds:
        look = ray.look(observed(*active, waiting=waiting), now)
        targets.append((now, look.target))
        assert look.look_again_at is not None
        now = max(look.look_again_at, now + 0.1)
    return targets


def test_more_replicas_come_when_they_were_wished_for_thirty_seconds() -> None:
    ray = RayServe(ScalingSettings(min_replica=1, max_replica=50, max_concurrency=27))
    look_on(ray, 0, 100, 10)

    targets = look_on(ray, 100, 100, 27, waiting=53)

    first = next(now for now, target in targets if target > 1)
    assert 100 + 30 <= first <= 100 + 30 + 2 * DEFAULTS.metrics_interval_s
    assert targets[-1][1] == 4


def test_replicas_go_after_ten_minutes_and_the_last_after_ten_more() -> None:
    ray = RayServe(SETTINGS)
    look_on(ray, 0, 100, waiting=60)
    assert ray.target == 3

    targets = look_on(ray, 100, 2000, 0, 0, 0)

    changes = [after for before, after in pairwise(targets) if after[1] != before[1]]
    assert [target for _, target in changes] == [1, 0]
    assert changes[0][0] == pytest.approx(100 + 600, abs=30)
    assert changes[-1][0] == pytest.approx(changes[-2][0] + 600, abs=30)


def test_first_request_starts_a_replica_at_once() -> None:
    ray = RayServe(SETTINGS)
    assert ray.look(observed(), 0.0).target == 0

    assert ray.look(observed(waiting=1), 3.3).target == 1


def test_victims_are_those_that_start_and_then_the_newest() -> None:
    assert RayServe.cuts_streams and RayServe.grace_s == 20
    assert RayServe(SETTINGS).choose_victims(observed(0, 5, starting=1), 2) == ["replica-2", "replica-1"]
