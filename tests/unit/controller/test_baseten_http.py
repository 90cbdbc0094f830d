from __future__ import annotations

import pytest

from penstock_controller.scaling.config import ScalingSettings
from penstock_controller.simulate.baselines.baseten_http import BasetenHttp, desired, next_step_down
from penstock_testing.baselines import observed

SETTINGS = ScalingSettings(min_replica=0, max_replica=50, max_concurrency=10, scale_down_delay_s=120.0)


@pytest.mark.parametrize(
    ("load", "target", "percent", "count"), [(25, 10, 70, 4), (0, 10, 70, 0), (7, 10, 70, 1), (8, 10, 70, 2)]
)
def test_desired_keeps_the_wanted_share_of_the_slots_in_use(
    load: float, target: int, percent: float, count: int
) -> None:
    assert desired(load, target, percent) == count


def test_half_of_the_excess_goes_with_each_step() -> None:
    steps = [13]
    while steps[-1] > 1:
        steps.append(next_step_down(steps[-1], 1, 50.0))

    assert steps == [13, 7, 4, 3, 2, 1]


def test_more_come_with_the_next_decision_and_fewer_after_each_delay() -> None:
    http = BasetenHttp(SETTINGS)
    up = [http.look(observed(10, waiting=46), float(now)).target for now in range(0, 121, 10)]
    assert up == [1] * 6 + [8] * 7

    down = [http.look(observed(*[0] * http.target), float(now)).target for now in range(130, 1400, 10)]

    assert list(dict.fromkeys(down)) == [8, 4, 2, 1, 0]
    assert down.index(4) * 10 + 130 == pytest.approx(120 + 60 + 120, abs=60)


def test_average_between_two_decisions_hides_a_short_burst() -> None:
    http = BasetenHttp(SETTINGS)
    for now in range(0, 60, 2):
        http.look(observed(0, waiting=70 if now == 30 else 0), float(now))

    assert http.look(observed(0), 60.0).target == 1


def test_first_waiting_stream_starts_a_replica_at_once() -> None:
    http = BasetenHttp(SETTINGS)
    http.target = 0

    assert http.look(observed(waiting=3), 61.0).target == 1
