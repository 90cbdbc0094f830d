from __future__ import annotations

import pytest

from penstock_controller.simulate.baselines.replica_count import replicas_for


@pytest.mark.parametrize(
    ("load", "each", "count"), [(0, 7, 0), (0.01, 7, 1), (7, 7, 1), (25, 7, 4), (28.000000001, 7, 4)]
)
def test_part_of_a_replica_is_a_whole_one_but_for_rounding_errors(load: float, each: float, count: int) -> None:
    assert replicas_for(load, each) == count
