from __future__ import annotations

import pytest

from penstock_controller.scaling.config import ScalingSettings
from penstock_controller.scaling.decision import Victim
from penstock_controller.simulate.baselines.agones_buffer import AgonesBuffer, slots_wanted
from penstock_testing.baselines import observed

SETTINGS = ScalingSettings(min_replica=0, max_replica=50, max_concurrency=8)


@pytest.mark.parametrize(("allocated", "percent", "slots"), [(80, 20, 100), (0, 20, 0), (90, 10, 100)])
def test_percentage_is_of_the_slots_that_there_will_be(allocated: int, percent: float, slots: float) -> None:
    assert slots_wanted(allocated, percent) == pytest.approx(slots)


def test_share_of_the_slots_is_kept_free() -> None:
    assert AgonesBuffer(SETTINGS).look(observed(8, 8, waiting=16), 0.0).target == 5


def test_replica_with_a_stream_is_never_chosen() -> None:
    agones = AgonesBuffer(SETTINGS)
    agones.target = 4

    look = agones.look(observed(1, 0, 1, 0), 0.0)

    assert look.target == 4
    assert look.victims == (Victim("replica-3", if_idle=True), Victim("replica-1", if_idle=True))


def test_it_looks_every_thirty_seconds_but_for_the_first_stream() -> None:
    agones = AgonesBuffer(SETTINGS)
    agones.look(observed(), 0.0)
    agones.target = 0

    assert agones.look(observed(waiting=1), 1.0).target == 1
    assert agones.look(observed(8, waiting=20), 2.0).target == 1
    assert agones.look(observed(8, waiting=20), 31.0).target == 5
