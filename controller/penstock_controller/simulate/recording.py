"""What a run is remembered by: sums over time, waits, and a thinned series for plots. Pure."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from penstock_controller.records import ReplicaState
from penstock_controller.simulate.replica import InvariantError, SimulatedReplica
from penstock_controller.simulate.settings import SimulationSettings
from penstock_controller.simulate.workload import RateChange

SERIES_MAX = 2000
"""Moments of a series."""

UTILISATION_STEPS = 100

Steps = list[tuple[float, int]]
"""A number of replicas from each of these moments on."""


@dataclass(slots=True)
class Series:
    """The run at evenly spaced moments; lists of one length. Times in seconds."""

    t: list[float] = field(default_factory=list)
    active_streams: list[int] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)
    """The most since the moment before, so that a short line is not missed."""
    ready: list[int] = field(default_factory=list)
    starting: list[int] = field(default_factory=list)
    draining: list[int] = field(default_factory=list)
    target: list[int] = field(default_factory=list)


@dataclass(slots=True)
class RunRecord:
    """One run of one autoscaler with one seed. Sums are in seconds times what they count."""

    policy: str
    settings: SimulationSettings
    horizon_s: float
    workload_changes: tuple[RateChange, ...] = ()
    series: Series = field(default_factory=Series)
    waits: array[float] = field(default_factory=lambda: array("d"))
    """Of every admission, seconds from the arrival to the answer of the replica."""
    arrived: int = 0
    """Streams and reconnections."""
    refused_full: int = 0
    """The line was full."""
    refused_waited: int = 0
    """The wait took too long."""
    cut: int = 0
    """Streams that ended because their replica was removed."""
    ended: int = 0
    open_at_end: int = 0
    waiting_at_end: int = 0
    stream_s: float = 0.0
    """Open streams."""
    ready_s: float = 0.0
    replica_s: float = 0.0
    """Replicas from start to end: loading, ready and draining."""
    serving_slots_s: float = 0.0
    """Slots of ready and draining replicas."""
    single_s: float = 0.0
    """Ready replicas with exactly one stream."""
    utilisation_s: list[float] = field(default_factory=lambda: [0.0] * (UTILISATION_STEPS + 1))
    """Time that was spent at each utilisation, in percent, while anything served."""
    target_changes: Steps = field(default_factory=list)
    ready_changes: Steps = field(default_factory=list)
    existing_changes: Steps = field(default_factory=list)
    """Loading, ready and draining."""
    starting_max: int = 0
    starts: int = 0
    failed_starts: int = 0
    oracle: Steps = field(default_factory=list)
    """Fewest replicas that could carry every stream from its arrival on, within the limits."""
    rules: dict[str, int] = field(default_factory=dict)
    """How often each rule changed the target."""
    looks: int = 0
    events: int = 0


class Recorder:
    """Keeps the record of a run that goes on. `advance` comes before every change of a count."""

    def __init__(self, record: RunRecord, slots: int) -> None:
        self.record = record
        self.active = 0
        self.waiting = 0
        self.ready = 0
        self.starting = 0
        self.draining = 0
        self.single = 0
        self.target = 0
        self._slots = slots
        self._last_at = 0.0
        self._sample_s = record.horizon_s / SERIES_MAX
        self._sample_at = 0.0
        self._waiting_most = 0

    def advance(self, now: float) -> None:
        """Adds up the time since the last call, in which nothing has changed."""
        length = now - self._last_at
        if length <= 0:
            return
        record = self.record
        if now > self._sample_at:
            self._sample(now)
        serving = (self.ready + self.draining) * self._slots
        record.stream_s += self.active * length
        record.ready_s += self.ready * length
        record.replica_s += (self.ready + self.draining + self.starting) * length
        record.serving_slots_s += serving * length
        record.single_s += self.single * length
        if serving:
            record.utilisation_s[min(UTILISATION_STEPS, self.active * UTILISATION_STEPS // serving)] += length
        self._last_at = now

    def _sample(self, now: float) -> None:
        series = self.record.series
        while self._sample_at < now:
            series.t.append(self._sample_at)
            series.active_streams.append(self.active)
            series.waiting.append(max(self.waiting, self._waiting_most))
            series.ready.append(self.ready)
            series.starting.append(self.starting)
            series.draining.append(self.draining)
            series.target.append(self.target)
            self._waiting_most = 0
            self._sample_at += self._sample_s

    def finish(self) -> None:
        """The run is over."""
        self._sample(self.record.horizon_s)

    def check(self, replicas: Iterable[SimulatedReplica]) -> None:
        """Compares the counts with the replicas that there are.

        Raises:
            InvariantError: They differ.
        """
        states = Counter(replica.state for replica in replicas)
        counted = (self.starting, self.ready, self.draining)
        found = (states[ReplicaState.STARTING], states[ReplicaState.READY], states[ReplicaState.DRAINING])
        if counted != found:
            raise InvariantError(f"{counted} replicas load, are ready and drain by the record, {found} do")

    def waits(self, change: int, now: float) -> None:
        """More or fewer wait."""
        self.advance(now)
        self.waiting += change
        self._waiting_most = max(self._waiting_most, self.waiting)

    def replicas(self, now: float, *, starting: int = 0, ready: int = 0, draining: int = 0) -> None:
        """The numbers of replicas change by so many."""
        self.advance(now)
        self.starting += starting
        self.ready += ready
        self.draining += draining
        record = self.record
        record.starting_max = max(record.starting_max, self.starting)
        _step(record.ready_changes, now, self.ready)
        _step(record.existing_changes, now, self.starting + self.ready + self.draining)

    def targets(self, now: float, target: int, rule: str) -> None:
        """The target is another one."""
        self.advance(now)
        self.target = target
        _step(self.record.target_changes, now, target)
        self.record.rules[rule] = self.record.rules.get(rule, 0) + 1


def _step(steps: Steps, now: float, value: int) -> None:
    if steps and steps[-1][0] == now:
        steps[-1] = (now, value)
    elif not steps or steps[-1][1] != value:
        steps.append((now, value))
