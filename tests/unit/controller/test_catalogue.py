from __future__ import annotations

import pytest

from penstock_controller.scaling.config import ScalingSettings
from penstock_controller.simulate.autoscaler import Autoscaler
from penstock_controller.simulate.baselines.catalogue import BASELINES
from penstock_testing.baselines import observed


@pytest.mark.parametrize("name", BASELINES)
def test_every_baseline_goes_by_its_name_and_keeps_within_the_limits(name: str) -> None:
    baseline: Autoscaler = BASELINES[name](ScalingSettings(min_replica=2, max_replica=4, max_concurrency=8))

    targets = {baseline.look(observed(8, 8, 8, waiting=500), now).target for now in map(float, range(0, 400, 2))}

    assert baseline.name == name
    assert min(targets) >= 2
    assert max(targets) == 4
