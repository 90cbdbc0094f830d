from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.close_codes import EndCode
from penstock_runner.slots import Slots


def ready(capacity: int) -> Slots:
    slots = Slots(capacity)
    slots.is_ready = True
    return slots


def test_no_slot_before_the_model_is_loaded() -> None:
    slots = Slots(1)

    assert slots.acquire() is EndCode.REPLICA_NOT_READY
    assert (slots.active, slots.refused_total) == (0, 1)


def test_as_many_slots_as_the_capacity() -> None:
    slots = ready(2)

    assert [slots.acquire() for _ in range(3)] == [None, None, EndCode.REPLICA_FULL]
    slots.release()
    assert slots.acquire() is None
    assert (slots.active, slots.admitted_total, slots.refused_total) == (2, 3, 1)


def test_a_draining_replica_gives_no_slot_until_the_drain_is_taken_back() -> None:
    slots = ready(1)
    assert slots.begin_drain(if_idle=False)
    assert slots.acquire() is EndCode.REPLICA_DRAINING

    slots.end_drain()

    assert slots.acquire() is None


def test_a_drain_if_idle_does_nothing_while_a_slot_is_held() -> None:
    slots = ready(2)
    slots.acquire()

    assert not slots.begin_drain(if_idle=True)
    assert not slots.is_draining
    assert slots.acquire() is None
    slots.release()
    slots.release()
    assert slots.begin_drain(if_idle=True)
    assert slots.is_draining


def test_a_lower_capacity_takes_no_slot_away() -> None:
    slots = ready(3)
    for _ in range(3):
        slots.acquire()
    slots.capacity = 1

    assert slots.active == 3
    slots.release()
    slots.release()
    assert slots.acquire() is EndCode.REPLICA_FULL
    slots.release()
    assert slots.acquire() is None


def test_a_replica_has_at_least_one_slot() -> None:
    with pytest.raises(ValueError, match="at least 1, got 0"):
        Slots(0)


@given(
    st.integers(1, 5),
    st.lists(st.sampled_from(["acquire", "release", "drain", "drain_if_idle", "undrain"]), max_size=60),
)
def test_never_more_than_the_capacity_and_never_into_a_drain(capacity: int, steps: list[str]) -> None:
    slots = ready(capacity)
    held = admitted = refused = 0
    for step in steps:
        if step == "acquire":
            may = not slots.is_draining and held < capacity
            refusal = slots.acquire()
            held, admitted = held + (refusal is None), admitted + (refusal is None)
            refused += refusal is not None
            assert (refusal is None) == may
        elif step == "release" and held:
            slots.release()
            held -= 1
        elif step == "drain":
            assert slots.begin_drain(if_idle=False)
        elif step == "drain_if_idle":
            before = slots.is_draining
            assert slots.begin_drain(if_idle=True) == (held == 0)
            assert slots.is_draining == (before or held == 0)
        elif step == "undrain":
            slots.end_drain()
        assert slots.active == held <= capacity
        assert (slots.admitted_total, slots.refused_total) == (admitted, refused)
