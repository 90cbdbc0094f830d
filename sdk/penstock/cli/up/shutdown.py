"""Ends everything that `penstock up` has started, directly or not."""

from __future__ import annotations

import asyncio
import time

from penstock.cli.up.admin import Admin, AdminError
from penstock.cli.up.children import Child
from penstock.cli.up.observation import Observation
from penstock.cli.up.processes import ProcessIdentity, identify, is_alive, kill
from penstock.cli.up.progress import View
from penstock.lifeline import Lifeline

CHILD_END_S = 10.0
"""Time for a child to end after what it was asked to wait for is over; then it is killed."""
RUNNERS_END_S = 10.0
"""Time for killed runners to be gone; the memory of a large model takes a while to be given back."""
POLL_S = 0.05
DRAIN_POLL_S = 0.5


class Shutdown:
    """The order in which things end: the edge lets its streams finish, then the runners end, then the controller."""

    def __init__(self, controller: Child, edge: Child, lifeline: Lifeline, view: View, drain_timeout_s: float) -> None:
        self._controller = controller
        self._edge = edge
        self._lifeline = lifeline
        self._view = view
        self._drain_timeout_s = drain_timeout_s
        self._runners: dict[str, ProcessIdentity] = {}
        self._has_ended = False
        self._open_streams = 0
        """As counted last, at most DRAIN_POLL_S ago while the edge drains."""

    def remember(self, observation: Observation) -> None:
        """Notes the runners' processes, so that their end can be made sure of without the controller."""
        current = {replica.replica_id: replica.pid for replica in observation.replicas if replica.pid}
        for replica_id, known in list(self._runners.items()):
            if current.get(replica_id) != known.pid and not is_alive(known):
                del self._runners[replica_id]
        for replica_id, pid in current.items():
            if replica_id not in self._runners and (found := identify(pid)) is not None:
                self._runners[replica_id] = found

    async def run(self, admin: Admin | None, force: asyncio.Event) -> bool:
        """Lets streams finish and ends everything; returns False when `force` cut it short."""
        async with asyncio.TaskGroup() as group:
            draining = group.create_task(self._drain(admin), name="drain")
            forcing = group.create_task(force.wait(), name="force")
            await asyncio.wait((draining, forcing), return_when=asyncio.FIRST_COMPLETED)
            was_forced = not draining.done()
            draining.cancel()
            forcing.cancel()
        if was_forced:
            self._view.close()
            self._view.note("ending everything at once")
        await self.end_everything()
        return not was_forced

    async def end_everything(self) -> None:
        """Ends every process at once; what has ended already is no matter. May be called again."""
        if self._has_ended:
            return
        self._has_ended = True
        # The controller first, or it would start again what ends now.
        self._controller.kill()
        await self._controller.wait_ended(CHILD_END_S)
        for runner in self._runners.values():
            # The lifeline ends a runner too, but not what its model has started.
            kill(runner)
        self._edge.kill()
        self._lifeline.close()
        await self._edge.wait_ended(CHILD_END_S)
        if not await self._runners_ended(RUNNERS_END_S):
            left = ", ".join(str(runner.pid) for runner in self._runners.values() if is_alive(runner))
            self._view.error(f"penstock up: these runner processes do not end: {left}")

    async def _drain(self, admin: Admin | None) -> None:
        if self._edge.is_running or self._controller.is_running:
            self._view.progress(("stopping",))
        await self._drain_edge(admin)
        if admin is not None and self._controller.is_running:
            self._view.progress(("stopping the replicas",))
            try:
                cut = await admin.stop_replicas(0.0)
            except AdminError as exc:
                # The cut of the lifeline ends them all the same.
                self._view.note(str(exc))
            else:
                if cut:
                    # Not streams that clients lost: those ended with the edge.
                    what = "handler was" if cut == 1 else "handlers were"
                    self._view.note(f"{cut} {what} still running and had to be cancelled")
        self._controller.terminate()
        await self._controller.wait_ended(CHILD_END_S)
        self._view.progress(())

    async def _drain_edge(self, admin: Admin | None) -> None:
        await self._count_open_streams(admin)
        self._edge.terminate()
        drained_at = time.monotonic() + self._drain_timeout_s
        was_told = False
        while self._edge.is_running and (now := time.monotonic()) < drained_at + CHILD_END_S:
            has_ended = await self._edge.wait_ended(min(DRAIN_POLL_S, max(POLL_S, drained_at - now)))
            # An edge without streams ends at once: one that took all of its time has closed those that were left.
            if time.monotonic() >= drained_at and not was_told:
                was_told = True
                self._tell_closed_streams()
            if has_ended:
                break
            if not was_told:
                await self._count_open_streams(admin)
                self._tell_open_streams()
        self._edge.kill()

    async def _count_open_streams(self, admin: Admin | None) -> None:
        observation = await admin.observe() if admin is not None else None
        if observation is not None:
            self._open_streams = observation.active_streams

    def _tell_open_streams(self) -> None:
        count = self._open_streams
        if count:
            limit = f"at most {self._drain_timeout_s:g} s"
            self._view.progress(
                (f"stopping: waiting for {count} {_streams(count)}, {limit} (Ctrl-C ends everything at once)",)
            )

    def _tell_closed_streams(self) -> None:
        count = self._open_streams
        if count:
            fate = "was still open after {} s and is" if count == 1 else "were still open after {} s and are"
            self._view.note(f"{count} {_streams(count)} {fate.format(f'{self._drain_timeout_s:g}')} closed with 1012")

    async def _runners_ended(self, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while any(is_alive(runner) for runner in self._runners.values()):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(POLL_S)
        return True


def _streams(count: int) -> str:
    return "stream" if count == 1 else "streams"
