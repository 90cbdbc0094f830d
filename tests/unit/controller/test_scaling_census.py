from __future__ import annotations

from collections.abc import Iterable

from penstock_controller.scaling.census import Census, count
from penstock_controller.scaling.observation import ReplicaObservation
from penstock_testing.scaling_kit import draining, failed, fleet, ready, seen, starting

NOW = 100.0


def census(
    *replicas: ReplicaObservation,
    slots: int = 8,
    idle_since: dict[str, float] | None = None,
    was_starting: Iterable[str] = (),
) -> Census:
    return count(seen(*replicas), slots, NOW, idle_since=idle_since or {}, starting=set(was_starting))


def test_every_state_is_counted_as_what_it_is() -> None:
    found = census(*fleet(0, 3, 7, 8), starting("s"), failed("f"), draining("d", 4))

    assert (found.present, found.starting, found.ready, found.heard) == (6, frozenset({"s"}), 4, 4)
    assert (found.active_streams, found.free_slots, found.busy) == (18, 8 + 5 + 1, 2)


def test_suspect_replica_keeps_its_streams_but_proves_nothing() -> None:
    found = census(ready("a", 8), ready("gone", 8, suspect=True), ready("silent", 0, suspect=True))

    assert (found.ready, found.heard, found.busy, found.free_slots) == (3, 1, 1, 0)
    assert found.active_streams == 16
    assert found.idle_since == {}


def test_idle_time_goes_on_from_look_to_look_and_ends_with_a_stream() -> None:
    found = census(*fleet(0, 2, 0), idle_since={"r0": 7.0, "r1": 3.0, "elsewhere": 1.0})

    assert found.idle_since == {"r0": 7.0, "r2": NOW}


def test_longest_idle_is_the_first_by_time_and_then_by_id() -> None:
    found = census(ready("b"), ready("c"), ready("a"), idle_since={"b": 9.0, "c": 5.0, "a": 9.0})
    assert found.longest_idle is not None
    assert (found.longest_idle.replica_id, found.longest_idle.since) == ("c", 5.0)

    tied = census(ready("b"), ready("a"), idle_since={"b": 9.0, "a": 9.0})
    assert tied.longest_idle is not None
    assert tied.longest_idle.replica_id == "a"


def test_smaller_of_the_limit_and_the_reported_slots_holds() -> None:
    """A raised limit has not arrived at the runner yet; a lowered one leaves old streams above it."""
    assert census(ready("a", 5, slots=6), slots=8).free_slots == 1
    assert census(ready("a", 5, slots=8), slots=2).free_slots == 0
    assert census(ready("a", 5, slots=8), slots=2).busy == 1
    assert census(ready("a", 5, slots=0), slots=8).free_slots == 3


def test_replica_of_one_slot_is_busy_with_its_stream_only() -> None:
    assert census(*fleet(0, 1, slots=1), slots=1).busy == 1
    assert census(*fleet(0, 1, slots=2), slots=2).busy == 1


def test_start_took_as_long_as_the_replica_was_known_when_it_was_first_seen_ready() -> None:
    replicas = (ready("new", age_s=61.5), ready("old", age_s=9000.0), starting("slow", age_s=70.0))

    assert census(*replicas, was_starting=["new", "slow", "gone"]).startups == (61.5,)
    assert census(*replicas).startups == ()
