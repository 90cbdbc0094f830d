from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any, cast

import pytest

from penstock_controller.records import ReplicaState
from penstock_controller.simulate.edge import SimulatedEdge, Stream
from penstock_controller.simulate.replica import InvariantError, Refusal, ReplicaEvents, Report, SimulatedReplica
from penstock_controller.simulate.timeline import Timeline

NUMBERS: Iterator[int] = count()


def stream() -> Stream:
    return Stream(cast("SimulatedEdge", None), float(next(NUMBERS)), 1.0)


class Kit:
    def __init__(self, capacity: int = 2) -> None:
        self.timeline = Timeline()
        self.reports: list[tuple[float, Report]] = []
        self.emptied: list[str] = []
        events = ReplicaEvents(reported=self._reported, counted=lambda *_: None, emptied=self._emptied)
        self.replica = SimulatedReplica("replica-1", capacity, self.timeline, 0.005, events)

    def _reported(self, report: Report) -> None:
        self.reports.append((round(self.timeline.now, 6), report))

    def _emptied(self, replica: SimulatedReplica) -> None:
        self.emptied.append(replica.replica_id)

    def run(self, until: float) -> Any:
        self.timeline.run(until, 1000)


def test_a_replica_refuses_until_it_is_ready_and_when_it_is_full() -> None:
    kit = Kit()

    assert kit.replica.admit(stream()) is Refusal.GONE
    kit.replica.load()
    assert [kit.replica.admit(stream()) for _ in range(3)] == [None, None, Refusal.FULL]


def test_a_released_slot_is_given_on_and_a_second_release_does_nothing() -> None:
    kit, first = Kit(1), stream()
    kit.replica.load()
    kit.replica.admit(first)

    kit.replica.release(first)
    kit.replica.release(first)

    assert kit.replica.admit(stream()) is None
    assert kit.replica.admit(stream()) is Refusal.FULL


def test_an_idle_drain_is_refused_while_a_slot_is_held() -> None:
    kit, first = Kit(), stream()
    kit.replica.load()
    kit.replica.admit(first)

    assert not kit.replica.drain(if_idle=True)
    assert kit.replica.admit(stream()) is None
    kit.replica.release(first)
    assert kit.replica.state is ReplicaState.READY


def test_a_drain_admits_nobody_and_tells_when_the_last_stream_has_ended() -> None:
    kit, first = Kit(), stream()
    kit.replica.load()
    kit.replica.admit(first)

    assert kit.replica.drain(if_idle=False)
    assert kit.replica.admit(stream()) is Refusal.DRAINING
    assert kit.emptied == []
    kit.replica.release(first)
    assert kit.emptied == ["replica-1"]


def test_a_replica_with_streams_is_never_removed_unless_they_are_to_be_cut() -> None:
    kit, first = Kit(), stream()
    kit.replica.load()
    kit.replica.admit(first)

    with pytest.raises(InvariantError, match="replica-1 was removed with 1 open streams"):
        kit.replica.end(cut=False)
    assert kit.replica.end(cut=True) == [first]
    assert kit.replica.admit(stream()) is Refusal.GONE


def test_the_first_change_is_reported_at_once_and_later_ones_every_50_ms() -> None:
    kit = Kit(10)
    kit.replica.load()
    kit.run(0.01)
    for _ in range(3):
        kit.replica.admit(stream())
    kit.run(1.0)

    ready, busy = ReplicaState.READY, Report("replica-1", ReplicaState.READY, 3)
    assert kit.reports == [(0.005, Report("replica-1", ready, 0)), (0.055, busy)]


def test_a_removed_replica_reports_no_more() -> None:
    kit = Kit()
    kit.replica.load()
    kit.replica.end(cut=False)
    kit.run(1.0)

    assert kit.reports == []
