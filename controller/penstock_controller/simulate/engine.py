"""Runs one simulation: one autoscaler, one seed. No clock, no threads, no network: the same input, the same run."""

from __future__ import annotations

import random
from functools import partial

from penstock.placement import Placement, PlacementStrategy
from penstock_controller.simulate.autoscaler import Autoscaler
from penstock_controller.simulate.controller import SimulatedController
from penstock_controller.simulate.edge import EdgeEvents, SimulatedEdge, Stream, StreamState
from penstock_controller.simulate.oracle import oracle_of
from penstock_controller.simulate.recording import Recorder, RunRecord
from penstock_controller.simulate.replica import InvariantError
from penstock_controller.simulate.settings import SimulationSettings
from penstock_controller.simulate.timeline import Timeline
from penstock_controller.simulate.workload import Streams, Workload

CHECK_EVERY = 1024
"""Events between two checks that count everything anew; the cheap checks are made at every event."""


class SimulationError(Exception):
    """An invariant was broken: a fault of the policy, of the placement or of the simulator. The text names the seed."""


def streams_of(workload: Workload, seed: int) -> Streams:
    """Draws the streams of a seed; they do not depend on the autoscaler."""
    return workload.streams(random.Random(f"{seed}:streams"))


def simulate(settings: SimulationSettings, streams: Streams, autoscaler: Autoscaler) -> RunRecord:
    """Runs it to the end of `streams`.

    Raises:
        SimulationError: An invariant was broken.
    """
    run = _Run(settings, streams, autoscaler)
    try:
        return run.run()
    except (InvariantError, AssertionError) as exc:
        raise SimulationError(
            f"seed {settings.seed}, {autoscaler.name}, after {run.timeline.now:.3f} s: {exc}; this is a fault of the "
            "software, please report it with the command line"
        ) from exc


class _Run:
    def __init__(self, settings: SimulationSettings, streams: Streams, autoscaler: Autoscaler) -> None:
        seed, scaling = settings.seed, settings.scaling
        self.timeline = Timeline()
        self._streams = streams
        self._next = 0
        self._reconnect = settings.reconnect
        self._record = RunRecord(autoscaler.name, settings, streams.horizon_s, streams.changes)
        self._recorder = Recorder(self._record, scaling.max_concurrency)
        self._states = [0] * len(StreamState)
        """Streams in each state."""
        self._edge_random = random.Random(f"{seed}:edges")
        self._controller = SimulatedController(
            settings, autoscaler, self.timeline, self._recorder, random.Random(f"{seed}:starts"), self._cut
        )
        events = EdgeEvents(
            admitted=self._admitted, refused=self._refused, moved=self._moved, demand=self._controller.demand
        )
        self._edges = [
            SimulatedEdge(
                number,
                self.timeline,
                Placement(partial(_below, random.Random(f"{seed}:placement:{number}"))),
                self._controller.replicas,
                events,
                strategy=PlacementStrategy(scaling.placement.value),
                edges=settings.edges,
                queue_timeout_s=settings.queue_timeout_s,
                queue_streams_max=settings.queue_streams_max,
                network_delay_s=settings.network_delay_s,
                demand_delay_s=settings.snapshot_delay_s,
            )
            for number in range(settings.edges)
        ]
        self._controller.edges = self._edges

    def run(self) -> RunRecord:
        record, timeline, scaling = self._record, self.timeline, self._record.settings.scaling
        self._controller.begin()
        self._plan_arrival()
        while True:
            done = timeline.run(record.horizon_s, CHECK_EVERY)
            record.events += done
            self._check()
            if done < CHECK_EVERY:
                break
        self._recorder.advance(record.horizon_s)
        self._recorder.finish()
        record.open_at_end = self._states[StreamState.OPEN]
        record.waiting_at_end = self._states[StreamState.WAITING] + self._states[StreamState.TRYING]
        record.oracle = oracle_of(self._streams, scaling.max_concurrency, scaling.min_replica, scaling.max_replica)
        return record

    def _plan_arrival(self) -> None:
        if self._next < len(self._streams):
            self.timeline.at(self._streams.arrived_at[self._next], self._arrive)

    def _arrive(self) -> None:
        duration = self._streams.duration[self._next]
        self._next += 1
        self._plan_arrival()
        self._new_stream(duration)

    def _new_stream(self, duration: float) -> None:
        edge = self._edges[_below(self._edge_random, len(self._edges))]
        self._record.arrived += 1
        self._states[StreamState.NEW] += 1
        edge.arrive(Stream(edge, self.timeline.now, duration))

    # What edges tell.

    def _moved(self, before: StreamState, after: StreamState) -> None:
        states, now = self._states, self.timeline.now
        states[before] -= 1
        states[after] += 1
        if states[before] < 0:
            raise InvariantError(f"one stream less than none is {before.name.lower()}")
        if before is StreamState.WAITING or after is StreamState.WAITING:
            self._recorder.waits((after is StreamState.WAITING) - (before is StreamState.WAITING), now)
        if before is StreamState.OPEN or after is StreamState.OPEN:
            self._recorder.advance(now)
            self._recorder.active += (after is StreamState.OPEN) - (before is StreamState.OPEN)

    def _admitted(self, stream: Stream) -> None:
        self._record.waits.append(self.timeline.now - stream.arrived_at)

    def _refused(self, stream: Stream, before: StreamState) -> None:
        if before is StreamState.NEW:
            self._record.refused_full += 1
        else:
            self._record.refused_waited += 1

    def _cut(self, stream: Stream, replica_id: str) -> None:
        now = self.timeline.now
        left = stream.ends_at - now if stream.state is StreamState.OPEN else stream.duration
        if stream.edge.cut(stream, replica_id):
            self._record.cut += 1
            if self._reconnect:
                self._new_stream(max(0.0, left))

    # Invariants.

    def _check(self) -> None:
        states, record = self._states, self._record
        record.ended = states[StreamState.ENDED]
        if sum(states) != record.arrived or min(states) < 0:
            counts = {state.name.lower(): states[state] for state in StreamState}
            raise InvariantError(f"streams are lost or counted twice: {record.arrived} came, {counts}")
        if states[StreamState.CUT] != record.cut:
            raise InvariantError(f"{states[StreamState.CUT]} streams are cut, {record.cut} were counted")
        if states[StreamState.WAITING] != sum(edge.waiting for edge in self._edges):
            raise InvariantError("the lines hold other streams than those that wait")
        if states[StreamState.OPEN] + record.ended + record.cut > record.arrived:
            raise InvariantError("more streams were admitted than came")
        held = 0
        for replica in self._controller.replicas.values():
            if len(replica.streams) > replica.capacity:
                raise InvariantError(f"{replica.replica_id} holds more streams than it has slots")
            held += sum(stream.state is StreamState.OPEN for stream in replica.streams)
        if held != states[StreamState.OPEN]:
            raise InvariantError(f"{states[StreamState.OPEN]} streams are open, replicas hold {held}")
        self._recorder.check(self._controller.replicas.values())


def _below(source: random.Random, bound: int) -> int:
    """Returns a random number below `bound`; several times faster than `randrange`."""
    return int(source.random() * bound)
