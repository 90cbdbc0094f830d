"""Ours beside the rules and formulas of other systems, on the same streams and cold starts.

`controller simulate --arrivals flash --rate 0.05 --hours 2 --set min_replica=1 --set max_replica=40 --seeds 5
--compare baseten_literal,kpa,hpa,ray_serve` prints the figures of one of these tests.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from penstock.placement import PlacementStrategy
from penstock_controller.scaling.config import ScalingSettings
from penstock_controller.simulate.autoscaler import AutoscalerFactory
from penstock_controller.simulate.comparison import Comparison, chosen, compare, render_table
from penstock_controller.simulate.distributions import Distribution
from penstock_controller.simulate.settings import SimulationSettings
from penstock_controller.simulate.workload import SHAPES, PoissonWorkload
from penstock_testing.counts import times

SEEDS = range(1, 1 + times(5, 10))
RIVALS = ("baseten_literal", "kpa", "hpa", "ray_serve")
CUTTERS = ("kpa", "hpa", "ray_serve")


def side_by_side(
    shape: str, scaling: ScalingSettings, rivals: Mapping[str, AutoscalerFactory] | None = None
) -> Comparison:
    workload = PoissonWorkload(
        shape=shape, rate=0.05, peak=SHAPES[shape], durations=Distribution("exp", (600.0,)), horizon_s=2 * 3600.0
    )
    return compare(SimulationSettings(scaling=scaling), workload, SEEDS, chosen(RIVALS) if rivals is None else rivals)


def cuts(comparison: Comparison) -> dict[str, int]:
    return {one.name: sum(int(seed["streams_cut"] or 0) for seed in one.reports) for one in comparison.contenders}


@pytest.mark.parametrize("shape", ["step", "sine", "flash"])
def test_with_default_settings_nobody_is_better_on_wait_and_cost_at_once(shape: str) -> None:
    comparison = side_by_side(shape, ScalingSettings(min_replica=1, max_replica=40, max_concurrency=8))

    assert comparison.beaten_by() == [], "\n" + render_table(comparison)
    assert cuts(comparison)["penstock"] == 0


@pytest.mark.parametrize("shape", ["step", "flash"])
def test_with_packed_streams_nobody_is_better_on_wait_and_cost_at_once_and_only_others_cut(shape: str) -> None:
    packed = ScalingSettings(
        min_replica=1,
        max_replica=40,
        max_concurrency=8,
        scale_down_delay_s=60.0,
        placement=PlacementStrategy.PACKED,
    )

    comparison = side_by_side(shape, packed)

    assert comparison.beaten_by() == [], "\n" + render_table(comparison)
    assert cuts(comparison)["penstock"] == 0
    assert all(cuts(comparison)[name] > 0 for name in CUTTERS)


@pytest.mark.parametrize("shape", ["step", "sine", "flash"])
def test_nothing_is_cut_though_idle_replicas_go_at_once(shape: str) -> None:
    hasty = ScalingSettings(min_replica=0, max_replica=40, max_concurrency=8, scale_down_delay_s=0.0)

    assert cuts(side_by_side(shape, hasty, rivals={})) == {"penstock": 0}
