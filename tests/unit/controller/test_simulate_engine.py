from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.placement import PlacementStrategy
from penstock_controller.scaling.config import ScalingSettings
from penstock_controller.simulate.distributions import parse_distribution
from penstock_controller.simulate.edge import SimulatedEdge, Stream, StreamState
from penstock_controller.simulate.engine import SimulationError, streams_of
from penstock_controller.simulate.recording import RunRecord
from penstock_controller.simulate.replica import Refusal, SimulatedReplica
from penstock_controller.simulate.workload import PoissonWorkload
from penstock_testing.simulated import Scripted, run_small

MANY = [(float(second), 400.0) for second in range(40)]
FEW = ScalingSettings(max_replica=3, max_concurrency=4, scale_down_delay_s=30.0)


def accounted(record: RunRecord) -> int:
    refused = record.refused_full + record.refused_waited
    return refused + record.cut + record.ended + record.open_at_end + record.waiting_at_end


def test_the_first_stream_waits_through_the_cold_start_and_later_ones_do_not() -> None:
    record = run_small([(100.0, 50.0), (130.0, 50.0)], scaling=ScalingSettings(max_replica=3, scale_down_delay_s=30.0))

    # A deployment begins with one replica; nobody comes, so it goes after 30 s.
    assert record.waits[0] == pytest.approx(10.05, abs=0.1)
    assert record.waits[1] == pytest.approx(0.002)
    assert [target for _, target in record.target_changes] == [1, 0, 1, 0]
    assert (record.ended, record.cut) == (2, 0)


def test_streams_beyond_the_most_replicas_wait_and_are_refused() -> None:
    record = run_small(MANY, scaling=FEW, queue_timeout_s=20.0, queue_streams_max=5, edges=2)

    assert len(record.waits) == 12
    assert record.refused_waited > 0 and record.refused_full > 0
    assert accounted(record) == record.arrived == 40
    assert max(target for _, target in record.target_changes) == 3
    assert max(record.series.waiting) > 0


def test_ours_cuts_no_stream_and_shrinks_to_nothing_when_all_have_ended() -> None:
    record = run_small(MANY, scaling=ScalingSettings(max_replica=20, max_concurrency=4, scale_down_delay_s=30.0))

    assert (record.cut, record.refused_full, record.refused_waited) == (0, 0, 0)
    assert record.ended == 40
    assert record.existing_changes[-1][1] == 0


def test_a_system_that_cuts_is_charged_and_its_clients_come_back_for_the_rest() -> None:
    rows = [(0.0, 500.0)] * 8
    script = Scripted([(0, 2), (100, 1), (150, 2)], cuts_streams=True, grace_s=5.0)
    back = run_small(rows, autoscaler=script, queue_timeout_s=100.0)
    script = Scripted([(0, 2), (100, 1), (150, 2)], cuts_streams=True, grace_s=5.0)
    away = run_small(rows, autoscaler=script, queue_timeout_s=100.0, reconnect=False)

    assert (back.cut, back.arrived, back.ended) == (4, 12, 8)
    assert (away.cut, away.arrived, away.ended) == (4, 8, 4)
    # The rest of a stream is as long as what was left, after the wait for a replica.
    assert back.stream_s == pytest.approx(8 * 500, rel=0.01)
    assert max(back.waits) == pytest.approx(55, abs=1)


def test_failed_starts_are_counted_and_made_good() -> None:
    record = run_small(MANY, scaling=FEW, failure_rate=0.5, queue_timeout_s=300.0, queue_streams_max=100, seed=3)

    assert record.failed_starts > 0
    assert len(record.waits) == 12
    assert record.cut == 0


def test_edges_with_old_snapshots_meet_full_replicas_and_still_place_every_stream() -> None:
    rows = [(200.0 + number * 0.01, 300.0) for number in range(40)]
    scaling = ScalingSettings(min_replica=10, max_replica=10, max_concurrency=4)
    record = run_small(rows, scaling=scaling, edges=5, snapshot_delay_s=2.0, report_delay_s=1.0)

    assert len(record.waits) == 40
    assert max(record.waits) > 0.003  # somebody was refused and tried the next


def test_a_replica_that_is_given_up_while_it_loads_is_counted_once() -> None:
    record = run_small([], autoscaler=Scripted([(0, 2), (5, 1)]))

    assert record.ready_changes[-1][1] == record.existing_changes[-1][1] == 1


def test_a_broken_replica_is_noticed_with_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    def admit_all(self: SimulatedReplica, stream: Stream) -> Refusal | None:
        self.streams[stream] = None
        return None

    monkeypatch.setattr(SimulatedReplica, "admit", admit_all)
    script = Scripted([(0, 1)])
    # Each edge sees a free slot for its own stream.
    with pytest.raises(SimulationError, match=r"seed 77, scripted, after .* holds more streams than it has slots"):
        run_small([(0.0, 1000.0)] * 9, autoscaler=script, seed=77, edges=9)


def test_a_stream_that_ends_twice_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    end = SimulatedEdge._end

    def end_twice(self: SimulatedEdge, stream: Stream) -> None:
        end(self, stream)
        self._move(stream, StreamState.ENDED)
        self._events.moved(StreamState.OPEN, StreamState.ENDED)

    monkeypatch.setattr(SimulatedEdge, "_end", end_twice)

    with pytest.raises(SimulationError, match="one stream less than none is open"):
        run_small([(0.0, 100.0)], autoscaler=Scripted([(0, 1)]))


def test_a_lost_stream_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimulatedEdge, "_timeout", lambda self, stream: self._line.clear())

    with pytest.raises(SimulationError, match="the lines hold other streams than those that wait"):
        run_small([(0.0, 100.0)] * 9, autoscaler=Scripted([(0, 0)]))


def facts(record: RunRecord) -> dict[str, Any]:
    return asdict(record)


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(st.tuples(st.floats(0, 400), st.floats(0, 300)), max_size=60),
    seed=st.integers(0, 2**20),
    edges=st.integers(1, 4),
    least=st.integers(0, 2),
    more=st.integers(0, 5),
    slots=st.integers(1, 5),
    delay=st.sampled_from([0.0, 20.0, 100.0]),
    buffer_slots=st.integers(0, 6),
    packed=st.booleans(),
    cordon=st.booleans(),
    cold_start=st.sampled_from(["const:0", "const:10", "uniform:1:40", "lognormal:15:1"]),
    failure_rate=st.sampled_from([0.0, 0.3, 1.0]),
    queue=st.tuples(st.sampled_from([0.0, 10.0, 100.0]), st.integers(0, 20)),
    delays=st.tuples(
        st.sampled_from([0.0, 0.001, 0.5]), st.sampled_from([0.0, 0.01, 1.0]), st.sampled_from([0.0, 2.0])
    ),
)
def test_no_stream_is_cut_or_lost_whatever_the_load_the_settings_and_the_faults(
    rows: list[tuple[float, float]],
    seed: int,
    edges: int,
    least: int,
    more: int,
    slots: int,
    delay: float,
    buffer_slots: int,
    packed: bool,
    cordon: bool,
    cold_start: str,
    failure_rate: float,
    queue: tuple[float, int],
    delays: tuple[float, float, float],
) -> None:
    scaling = ScalingSettings(
        min_replica=least,
        max_replica=max(1, least + more),
        max_concurrency=slots,
        scale_down_delay_s=delay,
        buffer_slots=buffer_slots,
        placement=PlacementStrategy.PACKED if packed else PlacementStrategy.SPREAD,
        cordon_surplus=cordon,
    )
    more_settings: dict[str, Any] = {
        "scaling": scaling,
        "seed": seed,
        "edges": edges,
        "failure_rate": failure_rate,
        "queue_timeout_s": queue[0],
        "queue_streams_max": queue[1],
        "network_delay_s": delays[0],
        "report_delay_s": delays[1],
        "snapshot_delay_s": delays[2],
    }
    starts = parse_distribution(cold_start)
    # Invariants are checked inside: slots, limits of the target, removed means idle, streams are conserved.
    record = run_small(rows, horizon_s=500.0, cold_start=starts, **more_settings)
    again = run_small(rows, horizon_s=500.0, cold_start=starts, **more_settings)

    assert record.cut == 0
    assert record.arrived == len(rows) == accounted(record)
    assert facts(record) == facts(again)


def test_another_seed_gives_another_run_and_the_streams_do_not_depend_on_the_policy() -> None:
    workload = PoissonWorkload(
        shape="poisson", rate=0.2, peak=1.0, durations=parse_distribution("exp:100"), horizon_s=3600.0
    )

    assert streams_of(workload, 1) == streams_of(workload, 1)
    assert streams_of(workload, 1) != streams_of(workload, 2)
