from __future__ import annotations

import pytest

from penstock_controller.scaling.config import ScalingSettings
from penstock_controller.scaling.decision import Victim
from penstock_controller.simulate.baselines.baseten_literal import BasetenLiteral, adds_one
from penstock_testing.baselines import observed

SETTINGS = ScalingSettings(min_replica=1, max_replica=40, max_concurrency=8, scale_down_delay_s=60.0)


@pytest.mark.parametrize(
    ("active", "waiting", "slots", "adds"),
    [
        ([7], 0, 8, True),
        ([6], 0, 8, False),
        ([8, 7], 0, 8, True),
        ([8, 6], 90, 8, False),  # however many wait
        ([0, 0], 0, 1, True),  # one slot: 0 streams are "max_concurrency - 1"
        ([], 0, 8, False),
        ([], 1, 8, True),
    ],
)
def test_adds_one_when_every_ready_replica_is_one_below_full(
    active: list[int], waiting: int, slots: int, adds: bool
) -> None:
    assert adds_one(active, waiting, slots) is adds


def test_start_up_storm_one_replica_per_tick_while_the_first_loads() -> None:
    literal = BasetenLiteral(SETTINGS)
    targets = [literal.look(observed(8, starting=step), 10.0 * step).target for step in range(6)]

    assert targets == [2, 3, 4, 5, 6, 7]


def test_one_slot_runs_to_the_maximum_without_any_stream() -> None:
    literal = BasetenLiteral(ScalingSettings(min_replica=1, max_replica=5, max_concurrency=1, scale_down_delay_s=3600))
    for step in range(20):
        literal.look(observed(*[0] * literal.target), 10.0 * step)

    assert literal.target == 5


def test_idle_replicas_go_one_per_tick_after_the_delay_and_the_last_stays() -> None:
    literal = BasetenLiteral(SETTINGS)
    literal.target = 3
    looks = [literal.look(observed(0, 0, 3), 10.0 * step) for step in range(7)]
    assert [look.victims for look in looks] == [()] * 6 + [(Victim("replica-0", if_idle=True),)]

    literal.removed("replica-0")
    literal.removed("replica-1")

    assert literal.target == 1
    assert literal.look(observed(0), 200.0).victims == ()


def test_replica_that_had_a_stream_begins_its_delay_anew() -> None:
    literal = BasetenLiteral(SETTINGS)
    literal.target = 2
    literal.look(observed(0, 3), 0.0)
    literal.look(observed(1, 3), 55.0)

    assert literal.look(observed(0, 3), 60.0).victims == ()
    assert literal.look(observed(0, 3), 121.0).victims != ()


def test_first_waiting_stream_starts_a_replica_between_two_ticks() -> None:
    literal = BasetenLiteral(ScalingSettings(max_replica=2, max_concurrency=8))
    literal.look(observed(0), 0.0)
    literal.removed("replica-0")

    assert literal.look(observed(waiting=1), 1.0).target == 1
