from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest

from penstock.placement import Placement, PlacementStrategy
from penstock_controller.records import ReplicaState
from penstock_controller.scaling.config import ScalingSettings
from penstock_controller.scaling.decision import Victim
from penstock_controller.scaling.observation import Observation
from penstock_controller.simulate.controller import SimulatedController
from penstock_controller.simulate.edge import EdgeEvents, SimulatedEdge, Snapshot, Stream
from penstock_controller.simulate.recording import Recorder, RunRecord
from penstock_controller.simulate.replica import InvariantError
from penstock_controller.simulate.settings import SimulationSettings
from penstock_controller.simulate.timeline import Timeline
from penstock_testing.simulated import Scripted, constant


class _Edge(SimulatedEdge):
    """Keeps what it was told."""

    def deliver(self, snapshot: Snapshot) -> None:
        self.__dict__.setdefault("snapshots", []).append(snapshot)
        super().deliver(snapshot)


class Kit:
    """A controller with one edge, through which nobody comes."""

    def __init__(self, autoscaler: Scripted, *, failure_rate: float = 0.0, report_delay_s: float = 0.005) -> None:
        scaling = ScalingSettings(max_replica=10, max_concurrency=4)
        settings = SimulationSettings(
            scaling=scaling, cold_start=constant(10.0), failure_rate=failure_rate, report_delay_s=report_delay_s
        )
        self.autoscaler = autoscaler
        self.timeline = Timeline()
        self.record = RunRecord("scripted", settings, 10_000.0)
        self.cut: list[Stream] = []
        recorder = Recorder(self.record, scaling.max_concurrency)
        self.controller = SimulatedController(
            settings, autoscaler, self.timeline, recorder, Random(1), lambda stream, _: self.cut.append(stream)
        )
        self.edge = _Edge(
            0,
            self.timeline,
            Placement(lambda _: 0),
            self.controller.replicas,
            EdgeEvents(
                admitted=lambda _: None,
                refused=lambda *_: None,
                moved=lambda *_: None,
                demand=self.controller.demand,
            ),
            strategy=PlacementStrategy.SPREAD,
            edges=1,
            queue_timeout_s=30.0,
            queue_streams_max=10,
            network_delay_s=0.0,
            demand_delay_s=0.0,
        )
        self.controller.edges = [self.edge]
        self.controller.begin()

    def run(self, until: float) -> None:
        self.timeline.run(until, 100_000)

    def open(self, replica_id: str) -> Stream:
        stream = Stream(self.edge, self.timeline.now, 1000.0)
        assert self.controller.replicas[replica_id].admit(stream) is None
        return stream

    @property
    def snapshots(self) -> list[Snapshot]:
        return list(self.edge.__dict__["snapshots"])

    @property
    def last(self) -> Observation:
        return self.autoscaler.looks[-1][1]


def test_replicas_are_started_for_the_target_and_are_seen_to_start_and_to_be_ready() -> None:
    kit = Kit(Scripted([(0, 2)]))
    kit.run(5.0)
    assert sorted(kit.controller.replicas) == ["replica-1", "replica-2"]
    kit.run(20.0)

    ready = [(one.replica_id, one.state, one.stream_capacity) for one in kit.last.replicas]
    assert ready == [("replica-1", ReplicaState.READY, 4), ("replica-2", ReplicaState.READY, 4)]
    assert kit.autoscaler.looks[-1][0] == pytest.approx(10.005)
    assert kit.record.starting_max == 2


def test_a_change_is_looked_at_no_more_often_than_every_50_ms() -> None:
    kit = Kit(Scripted([(0, 0)]))
    kit.run(1.0)
    for number in range(20):
        kit.timeline.at(1.0 + number * 0.01, kit.controller.demand, 0, number)
    kit.run(3.0)

    times = [at for at, _ in kit.autoscaler.looks]
    assert all(after - before >= 0.05 - 1e-9 for before, after in pairwise(times))
    assert 4 <= len(times) - 1 <= 6
    assert kit.last.waiting_streams == 19


def test_the_demands_of_all_edges_are_added_up() -> None:
    kit = Kit(Scripted([(0, 0)]))
    kit.controller.demand(0, 3)
    kit.controller.demand(1, 4)
    kit.controller.demand(0, 1)
    kit.run(1.0)

    assert kit.last.waiting_streams == 5


def test_starts_that_fail_are_made_again_with_back_off_and_are_called_a_crash_loop() -> None:
    kit = Kit(Scripted([(0, 1)]), failure_rate=1.0)
    kit.run(60.0)

    # Each takes 10 s and fails; the pauses are 0.5, 1, 2 and 4 s.
    starts = [at for at, observation in kit.autoscaler.looks if observation.vacant_places and at > 0]
    assert [round(at, 2) for at in starts] == sorted({10.0, 10.5, 20.5, 21.5, 31.5, 33.5, 43.5, 47.5, 57.5})
    assert kit.record.failed_starts == 5
    crash_loop = [at for at, observation in kit.autoscaler.looks if observation.crash_looping]
    assert min(crash_loop) == pytest.approx(31.5, abs=0.1)


def test_an_idle_victim_goes_and_the_autoscaler_hears_of_it() -> None:
    autoscaler = Scripted([(0, 2)])
    kit = Kit(autoscaler)
    autoscaler.victims = lambda observation, now: (
        (Victim("replica-1", True),) if now >= 20 and not autoscaler.went and not observation.removing else ()
    )
    kit.run(20.0)
    kit.controller.demand(0, 0)
    kit.run(21.0)

    assert autoscaler.went == ["replica-1"]
    assert sorted(kit.controller.replicas) == ["replica-2"]
    assert [target for _, target in kit.record.target_changes] == [2, 1]


def test_a_victim_that_has_got_a_stream_stays() -> None:
    autoscaler = Scripted([(0, 1)])
    kit = Kit(autoscaler)
    kit.run(20.0)
    kit.open("replica-1")  # the controller does not know yet
    autoscaler.victims = lambda observation, now: (Victim("replica-1", True),) if now < 20.01 else ()
    kit.controller.demand(0, 0)
    kit.run(30.0)

    assert autoscaler.went == []
    assert [one.active_streams for one in kit.last.replicas] == [1]
    assert "replica-1" in kit.controller.replicas


def test_a_removal_is_known_to_be_under_way_until_the_replica_has_answered() -> None:
    autoscaler = Scripted([(0, 1)])
    kit = Kit(autoscaler, report_delay_s=0.2)
    autoscaler.victims = lambda observation, now: (Victim("replica-1", True),) if 20 <= now < 20.1 else ()
    kit.run(20.0)
    kit.open("replica-1")
    for tenth in range(10):
        kit.timeline.at(20.0 + tenth / 10, kit.controller.demand, 0, tenth)
    kit.run(30.0)

    assert {round(at, 1) for at, observation in autoscaler.looks if observation.removing} == {20.1, 20.2, 20.3}


def test_without_cutting_a_surplus_replica_lives_until_its_last_stream_has_ended() -> None:
    kit = Kit(Scripted([(0, 2), (50, 1)]))
    kit.run(20.0)
    stream = kit.open("replica-2")
    kit.run(500.0)
    assert "replica-2" in kit.controller.replicas
    assert [one.replica_id for one in kit.last.replicas] == ["replica-1"]

    kit.controller.replicas["replica-2"].release(stream)
    kit.run(501.0)

    assert sorted(kit.controller.replicas) == ["replica-1"]
    assert kit.cut == []


def test_a_system_that_cuts_ends_the_replica_after_its_grace() -> None:
    kit = Kit(Scripted([(0, 2), (50, 1)], cuts_streams=True, grace_s=30.0))
    kit.run(20.0)
    stream = kit.open("replica-2")
    kit.run(79.0)
    assert kit.cut == []
    kit.run(81.0)

    assert kit.cut == [stream]
    assert sorted(kit.controller.replicas) == ["replica-1"]


def test_a_victim_that_still_loads_ends_at_once() -> None:
    kit = Kit(Scripted([(0, 2), (5, 1)]))
    kit.run(30.0)

    assert len(kit.controller.replicas) == 1
    assert kit.record.existing_changes == [(0.0, 2), (5.0, 1)]


@pytest.mark.parametrize("target", [-1, 11])
def test_a_target_outside_of_the_limits_is_an_error(target: int) -> None:
    kit = Kit(Scripted([(0, target)]))

    with pytest.raises(InvariantError, match=f"scripted asks for {target} replicas, outside of 0 to 10"):
        kit.run(1.0)


def test_the_age_at_which_a_replica_became_ready_is_told_exactly() -> None:
    kit = Kit(Scripted([(0, 1), (9.6, 2)]))
    kit.run(10.1)

    first = kit.last.replicas[0]
    assert first.state is ReplicaState.READY
    assert first.age_s == pytest.approx(10.005)


def test_the_ages_that_are_told_keep_their_order() -> None:
    kit = Kit(Scripted([(0, 1), (3, 2), (3.5, 3)]))
    kit.run(30.0)
    kit.controller.demand(0, 1)
    kit.run(31.0)

    ages = [one.age_s for one in kit.last.replicas]
    assert ages == [pytest.approx(30, abs=1.1), pytest.approx(27, abs=1.1), pytest.approx(26.5, abs=1.1)]
    assert ages == sorted(ages, reverse=True)


def test_snapshots_follow_changes_by_50_ms_at_least_and_else_a_heartbeat() -> None:
    kit = Kit(Scripted([(0, 2)]))
    kit.run(20.5)
    kit.timeline.at(20.50, kit.open, "replica-1")
    kit.timeline.at(20.52, kit.open, "replica-2")
    kit.run(40.0)

    built = [snapshot.built_at for snapshot in kit.snapshots]
    pauses = [after - before for before, after in pairwise(built)]
    assert min(pauses) >= 0.05 - 1e-9
    assert max(pauses) == pytest.approx(2.0)
    assert [round(at, 3) for at in built if 20.5 <= at < 21] == [20.505, 20.555]


def test_a_snapshot_names_ready_replicas_and_those_that_are_gone_as_changed() -> None:
    kit = Kit(Scripted([(0, 2), (50, 1)]))
    kit.run(9.0)
    assert kit.snapshots[-1].routes == {}
    kit.run(20.0)
    assert sorted(kit.snapshots[-1].routes) == ["replica-1", "replica-2"]
    kit.run(60.0)

    assert sorted(kit.snapshots[-1].routes) == ["replica-2"]
    assert any("replica-1" in snapshot.changed for snapshot in kit.snapshots if snapshot.built_at > 50)


def test_cordoned_replicas_are_told_as_such_and_no_longer_when_they_are_not() -> None:
    autoscaler = Scripted([(0, 2)])
    kit = Kit(autoscaler)
    kit.run(20.0)
    for cordoned in (frozenset({"replica-2"}), frozenset[str]()):
        autoscaler.cordoned = cordoned
        kit.controller.demand(0, 0)
        kit.run(kit.timeline.now + 1.0)
        told = kit.snapshots[-1].routes
        assert {name for name, route in told.items() if route.is_cordoned} == cordoned
    autoscaler.cordoned = frozenset({"replica-2"})
    kit.controller.demand(0, 0)
    kit.run(kit.timeline.now + 1.0)
    kit.open("replica-2")
    kit.run(kit.timeline.now + 1.0)
    assert kit.snapshots[-1].routes["replica-2"][1:4] == (True, True, 1)


def test_a_place_that_backs_off_is_given_up_before_any_replica() -> None:
    kit = Kit(Scripted([(0, 2), (10.2, 0)]), failure_rate=1.0)
    kit.run(100.0)

    assert kit.record.starts == 2
