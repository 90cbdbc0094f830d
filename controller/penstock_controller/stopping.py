"""Ends replicas: drain, then SIGTERM, then SIGKILL."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from penstock_controller.actuators.base import Actuator
from penstock_controller.bell import Bell
from penstock_controller.records import ReplicaState
from penstock_controller.registry import Registry
from penstock_controller.sessions import RunnerSessions
from penstock_controller.tasks import TaskSet

TERMINATE_GRACE_S = 10.0
"""Time between SIGTERM and SIGKILL for a replica without streams: the model closes its files and frees its GPU."""

CLOSE_MARGIN_S = 1.0
"""Time after the grace of a drain in which the runner closes its streams (1012) before it gets SIGTERM."""

LOOK_AGAIN_S = 1.0
"""Longest sleep between two looks at a draining replica, should a change not ring."""


@dataclass(slots=True, eq=False)
class _Stop:
    deadline: float | None
    """Monotonic seconds at which open streams are cut; None lets them take all the time they want."""
    spread_s: float = 0.0
    """Last part of the time until then, over which the ends of the streams are spread."""
    task: asyncio.Task[int] | None = None
    told_session: int | None = None
    """The Attach call over which the drain was sent; another call must be told again."""
    told_deadline: float | None = None
    cut_streams: int = 0
    is_terminating: bool = False
    """It was asked to end; that cannot be taken back."""


class Stopper:
    """One stop per replica, however often it is asked for."""

    def __init__(
        self,
        registry: Registry,
        sessions: RunnerSessions,
        actuator: Actuator,
        changes: Bell,
        clock: Callable[[], float],
    ) -> None:
        self._registry = registry
        self._sessions = sessions
        self._actuator = actuator
        self._changes = changes
        self._clock = clock
        self._stops: dict[str, _Stop] = {}
        self._tasks = TaskSet()

    def is_stopping(self, replica_id: str) -> bool:
        return replica_id in self._stops

    def take_back(self, replica_id: str) -> bool:
        """Gives the stop of a replica up, and has it admit streams again. Returns False when it is too late."""
        stop = self._stops.get(replica_id)
        if stop is not None:
            if stop.is_terminating or stop.task is None:
                return False
            del self._stops[replica_id]
            stop.task.cancel()
        self._registry.take_drain_back(replica_id)
        return self._sessions.undrain(replica_id)

    def request(self, replica_id: str, deadline: float | None, spread_s: float = 0.0) -> asyncio.Task[int]:
        """Begins to end a replica; an earlier deadline than that of a stop under way takes its place.

        The task returns how many streams were cut. It must not be cancelled; it ends with the replica.
        """
        stop = self._stops.get(replica_id)
        if stop is None:
            stop = self._stops[replica_id] = _Stop(deadline, spread_s)
            self._registry.order_drain(replica_id, self._clock(), deadline=deadline)
            stop.task = self._tasks.start(self._run(replica_id, stop), name=f"stop-{replica_id}")
        elif deadline is not None and (stop.deadline is None or deadline < stop.deadline):
            stop.deadline, stop.spread_s = deadline, spread_s
            self._registry.order_drain(replica_id, self._clock(), deadline=deadline)
        self._changes.ring()
        assert stop.task is not None
        return stop.task

    async def close(self) -> None:
        """Gives up all stops; the replicas go on."""
        await self._tasks.cancel()

    async def _run(self, replica_id: str, stop: _Stop) -> int:
        try:
            while not self._may_terminate(replica_id, stop):
                left = LOOK_AGAIN_S if stop.deadline is None else stop.deadline - self._clock()
                margin = left if left > 0 else left + CLOSE_MARGIN_S
                await self._changes.wait(min(LOOK_AGAIN_S, max(margin, 0.01)))
            stop.is_terminating = True
            await self._actuator.stop(replica_id, grace_s=TERMINATE_GRACE_S)
        finally:
            if self._stops.get(replica_id) is stop:
                del self._stops[replica_id]
        return stop.cut_streams

    def _may_terminate(self, replica_id: str, stop: _Stop) -> bool:
        """Sends the drain where it is due, and tells whether the process may get SIGTERM now."""
        replica = self._registry.replica(replica_id)
        if replica is None:
            return True
        now = self._clock()
        if replica.report is None:
            # What this life has started and has not attached is known to no edge. An adopted one may hold streams, and
            # will attach as soon as it can.
            overdue = stop.deadline is not None and now >= stop.deadline + CLOSE_MARGIN_S
            return overdue or not replica.is_adopted
        reported = replica.report
        if reported.state in (ReplicaState.STARTING, ReplicaState.FAILED):
            return True
        if reported.state is ReplicaState.DRAINING and reported.active_streams == 0:
            return True
        if stop.deadline is not None and now >= stop.deadline - stop.spread_s:
            stop.cut_streams = max(stop.cut_streams, reported.active_streams)
            if now >= stop.deadline + CLOSE_MARGIN_S:
                return True
        told = stop.told_session == replica.session and stop.told_deadline == stop.deadline
        if replica.session is not None and not told:
            grace_s = None if stop.deadline is None else max(0.0, stop.deadline - now)
            self._sessions.drain(replica_id, grace_s=grace_s, spread_s=stop.spread_s)
            stop.told_session = replica.session
            stop.told_deadline = stop.deadline
        return False
