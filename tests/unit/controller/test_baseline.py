from __future__ import annotations

from penstock_controller.scaling.config import ScalingSettings
from penstock_controller.simulate.baselines.baseline import load_of
from penstock_controller.simulate.baselines.baseten_http import BasetenHttp
from penstock_testing.baselines import observed


def test_load_is_what_is_open_and_what_waits() -> None:
    assert load_of(observed(3, 0, 8, starting=2, waiting=5)) == 16


def test_target_is_one_less_once_a_victim_has_gone() -> None:
    baseline = BasetenHttp(ScalingSettings(min_replica=3, max_replica=8))
    assert baseline.target == 3

    baseline.removed("replica-0")

    assert baseline.target == 2
