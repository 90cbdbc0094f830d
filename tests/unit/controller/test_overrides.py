from __future__ import annotations

import pytest

from penstock_controller.scaling.config import ScalingSettings
from penstock_controller.scaling.overrides import ScalingOverrides, check, effective

CONFIG = ScalingSettings(min_replica=2, max_replica=4, max_concurrency=8)


def test_without_overrides_the_config_is_in_force() -> None:
    assert effective(CONFIG, ScalingOverrides()) == CONFIG


def test_values_of_an_operator_win() -> None:
    settings = effective(CONFIG, ScalingOverrides(min_replica=0, max_replica=9, max_concurrency=3))
    assert (settings.min_replica, settings.max_replica, settings.max_concurrency) == (0, 9, 3)


@pytest.mark.parametrize(
    ("overrides", "bounds"),
    [
        (ScalingOverrides(max_replica=1), (1, 1)),
        (ScalingOverrides(min_replica=7), (7, 7)),
        (ScalingOverrides(min_replica=0), (0, 4)),
    ],
)
def test_a_bound_of_an_operator_moves_the_other_bound_of_the_config(
    overrides: ScalingOverrides, bounds: tuple[int, int]
) -> None:
    settings = effective(CONFIG, overrides)
    assert (settings.min_replica, settings.max_replica) == bounds


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        (ScalingOverrides(replicas=10_001), "replicas: must be 0 to 10,000, got 10001"),
        (ScalingOverrides(max_replica=0), "max_replica: must be 1 to 10,000, got 0"),
        (ScalingOverrides(max_concurrency=0), "max_concurrency: must be 1 to 1,000,000, got 0"),
        (ScalingOverrides(min_replica=3, max_replica=2), "max_replica: must not be below min_replica (3), got 2"),
        (ScalingOverrides(replicas=0, min_replica=0, max_replica=1, max_concurrency=1), None),
    ],
)
def test_wrong_values_are_named_with_their_range(overrides: ScalingOverrides, problem: str | None) -> None:
    assert check(overrides) == problem
