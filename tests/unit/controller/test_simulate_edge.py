from __future__ import annotations

from collections.abc import Iterable

import pytest

from penstock.placement import Placement, PlacementStrategy
from penstock_controller.simulate.edge import EdgeEvents, Route, SimulatedEdge, Snapshot, Stream, StreamState
from penstock_controller.simulate.replica import ReplicaEvents, SimulatedReplica
from penstock_controller.simulate.timeline import Timeline


class Kit:
    """An edge with its replicas; the test publishes snapshots by hand."""

    def __init__(
        self, capacities: Iterable[int], *, queue_streams_max: int = 10, queue_timeout_s: float = 30.0
    ) -> None:
        self.timeline = Timeline()
        events = ReplicaEvents(reported=lambda _: None, counted=lambda *_: None, emptied=lambda _: None)
        self.replicas = {
            f"replica-{number}": SimulatedReplica(f"replica-{number}", capacity, self.timeline, 0.0, events)
            for number, capacity in enumerate(capacities, 1)
        }
        for replica in self.replicas.values():
            replica.load()
        self.admitted: list[tuple[float, Stream]] = []
        self.refused: list[tuple[float, Stream, StreamState]] = []
        self.demands: list[tuple[float, int]] = []
        self.edge = SimulatedEdge(
            0,
            self.timeline,
            Placement(lambda _: 0),
            self.replicas,
            EdgeEvents(
                admitted=lambda stream: self.admitted.append((self.now, stream)),
                refused=lambda stream, before: self.refused.append((self.now, stream, before)),
                moved=lambda before, after: None,
                demand=lambda edge, waiting: self.demands.append((self.now, waiting)),
            ),
            strategy=PlacementStrategy.SPREAD,
            edges=1,
            queue_timeout_s=queue_timeout_s,
            queue_streams_max=queue_streams_max,
            network_delay_s=0.001,
            demand_delay_s=0.005,
        )

    @property
    def now(self) -> float:
        return round(self.timeline.now, 6)

    def publish(self, **active: int) -> None:
        """Delivers a snapshot now. By default of all replicas as they are; `replica_1=3` says another number."""
        routes = {
            name: Route(
                name, True, False, active.get(name.replace("-", "_"), len(one.streams)), one.capacity, self.timeline.now
            )
            for name, one in self.replicas.items()
        }
        self.edge.deliver(Snapshot(self.timeline.now, routes, frozenset(routes)))

    def arrive(self, duration: float = 1000.0) -> Stream:
        stream = Stream(self.edge, self.timeline.now, duration)
        self.edge.arrive(stream)
        return stream

    def run(self, until: float) -> None:
        self.timeline.run(until, 100_000)


def test_a_stream_is_open_after_a_round_trip_and_for_its_duration() -> None:
    kit = Kit([1])
    kit.publish()
    stream = kit.arrive(10.0)
    kit.run(1.0)

    assert kit.admitted == [(0.002, stream)]
    assert len(kit.replicas["replica-1"].streams) == 1
    kit.run(11.0)
    assert stream.state is StreamState.ENDED
    assert not kit.replicas["replica-1"].streams


def test_a_replica_that_refuses_is_followed_by_the_next_one() -> None:
    kit = Kit([1, 4])
    for _ in range(1):
        kit.replicas["replica-1"].admit(Stream(kit.edge, 0.0, 1.0))
    kit.publish(replica_1=0, replica_2=1)  # an old snapshot: the first looks empty and is full
    stream = kit.arrive()
    kit.run(1.0)

    assert stream.replica is kit.replicas["replica-2"]
    assert kit.admitted == [(0.004, stream)]


def test_without_a_free_slot_streams_wait_in_line_until_a_snapshot_brings_one() -> None:
    kit = Kit([2])
    first, second, third = kit.arrive(), kit.arrive(), kit.arrive()
    kit.run(5.0)
    assert (kit.edge.waiting, kit.admitted) == (3, [])

    kit.publish()
    kit.run(6.0)

    assert [stream for _, stream in kit.admitted] == [first, second]
    assert third.state is StreamState.WAITING
    assert kit.demands == [(0.025, 3), (5.025, 1)]


def test_the_controller_hears_at_once_of_a_line_that_has_doubled_and_else_within_a_second() -> None:
    kit = Kit([], queue_streams_max=100)
    kit.run(5.0)
    for number in range(5):
        kit.timeline.at(5.0 + 0.1 * number, kit.arrive)
    kit.run(8.0)

    assert kit.demands == [(5.025, 1), (5.125, 2), (5.325, 4), (6.325, 5)]


def test_a_snapshot_is_followed_by_news_of_the_line() -> None:
    kit = Kit([], queue_streams_max=100)
    for number in range(3):
        kit.timeline.at(0.1 * number, kit.arrive)
    kit.run(0.3)
    kit.publish()
    kit.run(0.4)

    assert kit.demands == [(0.025, 1), (0.125, 2), (0.325, 3)]


def test_the_end_of_a_stream_wakes_the_first_in_line() -> None:
    kit = Kit([1])
    kit.publish()
    kit.arrive(10.0)
    kit.run(1.0)
    waiting = kit.arrive()
    kit.run(20.0)

    assert kit.admitted[-1] == (10.004, waiting)


def test_nobody_overtakes_those_who_wait() -> None:
    kit = Kit([1])
    kit.publish()
    kit.arrive(5.0)
    kit.run(0.5)
    line = [kit.arrive(2.0) for _ in range(3)]
    kit.run(5.0015)  # the slot is free, and the first in line on its way to it
    late = kit.arrive()
    kit.run(20.0)

    assert [stream for _, stream in kit.admitted[1:]] == [*line, late]


def test_whoever_comes_when_a_slot_has_just_become_free_waits_behind_the_line() -> None:
    kit = Kit([1])
    kit.publish()
    kit.arrive(5.0)
    kit.run(0.5)
    first = kit.arrive(2.0)
    late: list[Stream] = []
    kit.timeline.at(5.002, lambda: late.append(kit.arrive()))  # when the slot is free, before anyone was woken
    kit.run(20.0)

    assert [stream for _, stream in kit.admitted[1:]] == [first, *late]


def test_a_refusal_holds_for_the_next_stream_too() -> None:
    kit = Kit([1, 4])
    kit.replicas["replica-1"].admit(Stream(kit.edge, 0.0, 1.0))
    kit.publish(replica_1=0, replica_2=1)
    kit.arrive()
    kit.run(0.5)
    second = kit.arrive()
    kit.run(1.0)

    assert kit.admitted[-1] == (0.502, second)


def test_no_replica_is_tried_twice_even_when_a_snapshot_forgives_it() -> None:
    kit = Kit([1, 1, 4])
    for name in ("replica-1", "replica-2"):
        kit.replicas[name].admit(Stream(kit.edge, 0.0, 1.0))
    old = {"replica_1": 0, "replica_2": 0, "replica_3": 1}
    kit.publish(**old)
    stream = kit.arrive()
    kit.timeline.at(0.003, lambda: kit.publish(**old))
    kit.run(1.0)

    assert kit.admitted == [(0.006, stream)]


def test_a_replica_that_a_snapshot_no_longer_names_is_not_tried() -> None:
    kit = Kit([4, 4])
    kit.publish(replica_1=0, replica_2=1)
    kit.arrive()
    kit.run(0.5)
    kit.replicas.pop("replica-1")
    kit.edge.deliver(
        Snapshot(0.5, {"replica-2": Route("replica-2", True, False, 1, 4, 0.5)}, frozenset({"replica-1", "replica-2"}))
    )
    stream = kit.arrive()
    kit.run(1.0)

    assert kit.admitted[-1] == (0.502, stream)


def test_whoever_waits_too_long_is_refused_and_so_is_whoever_finds_the_line_full() -> None:
    kit = Kit([], queue_streams_max=2, queue_timeout_s=7.0)
    first, second, third = kit.arrive(), kit.arrive(), kit.arrive()
    kit.run(100.0)

    assert kit.refused == [
        (0.0, third, StreamState.NEW),
        (7.0, first, StreamState.WAITING),
        (7.0, second, StreamState.WAITING),
    ]
    assert kit.demands[-1][1] == 0


def test_a_queue_timeout_of_zero_does_not_wait() -> None:
    kit = Kit([], queue_timeout_s=0.0)
    stream = kit.arrive()

    assert kit.refused == [(0.0, stream, StreamState.NEW)]


def test_a_replica_that_has_gone_is_unreachable_and_tried_again_only_after_a_while() -> None:
    kit = Kit([4])
    gone = kit.replicas.pop("replica-1")
    kit.edge.deliver(Snapshot(0.0, {"replica-1": Route("replica-1", True, False, 0, 4, 0.0)}, frozenset({"replica-1"})))
    stream = kit.arrive()
    kit.run(0.5)
    assert stream.state is StreamState.WAITING

    kit.replicas["replica-1"] = gone
    kit.run(3.0)

    ((admitted_at, admitted),) = kit.admitted
    assert admitted is stream
    assert admitted_at == pytest.approx(1.005, abs=0.01)


def test_a_cut_stream_is_over_and_its_end_comes_no_second_time() -> None:
    kit = Kit([1])
    kit.publish()
    stream = kit.arrive(10.0)
    kit.run(5.0)

    assert kit.edge.cut(stream, "replica-1")
    assert not kit.edge.cut(stream, "replica-1")
    kit.run(20.0)
    assert stream.state is StreamState.CUT


def test_a_snapshot_says_how_old_the_report_of_a_replica_is_counting_heartbeats() -> None:
    route = Route("r", True, False, 1, 4, 100.0)

    assert route.report(100.5).age_s == pytest.approx(0.5)
    assert route.report(103.0).age_s == pytest.approx(1.0)
