"""Asks runners to import the code of their model again, and gathers what became of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from penstock.api.control.v1 import control_pb2
from penstock_controller.sessions import RunnerSessions

ANSWER_S = 30.0
"""Time for the answers: an import takes seconds, and the loop of the model may be blocked."""


@dataclass(frozen=True, slots=True)
class ReloadOutcome:
    """What became of one replica that was asked."""

    replica_id: str
    reloaded: bool
    message: str = ""
    """Why it was not."""
    needs_restart: bool = False


class Reloads:
    """All reloads that wait for an answer."""

    def __init__(self, sessions: RunnerSessions) -> None:
        self._sessions = sessions
        self._waiting: dict[tuple[str, str], asyncio.Future[control_pb2.ReloadResult]] = {}
        self._deployments: Counter[str] = Counter()

    def is_under_way(self, deployment_id: str) -> bool:
        return self._deployments[deployment_id] > 0

    def answered(self, replica_id: str, result: control_pb2.ReloadResult) -> None:
        """A runner has answered. Late answers are dropped."""
        future = self._waiting.pop((replica_id, result.reload_id), None)
        if future is not None and not future.done():
            future.set_result(result)

    async def ask(self, deployment_id: str, replica_ids: list[str], timeout_s: float = ANSWER_S) -> list[ReloadOutcome]:
        """Asks all of them at once, and returns when all have answered or the time is over."""
        asked: dict[str, tuple[str, asyncio.Future[control_pb2.ReloadResult]]] = {}
        for replica_id in replica_ids:
            reload_id = self._sessions.reload(replica_id)
            if reload_id is not None:
                future = asyncio.get_running_loop().create_future()
                asked[replica_id] = (reload_id, future)
                self._waiting[replica_id, reload_id] = future
        self._deployments[deployment_id] += 1
        try:
            if asked:
                await asyncio.wait([future for _, future in asked.values()], timeout=timeout_s)
        finally:
            self._deployments[deployment_id] -= 1
            for replica_id, (reload_id, _) in asked.items():
                self._waiting.pop((replica_id, reload_id), None)
        results = {replica_id: future.result() for replica_id, (_, future) in asked.items() if future.done()}
        return [_outcome(replica_id, results, asked.keys(), timeout_s) for replica_id in replica_ids]


def _outcome(
    replica_id: str,
    results: Mapping[str, control_pb2.ReloadResult],
    asked: Collection[str],
    timeout_s: float,
) -> ReloadOutcome:
    result = results.get(replica_id)
    if result is not None:
        return ReloadOutcome(replica_id, result.reloaded, result.message, result.needs_restart)
    why = (
        f"it has not answered within {timeout_s:g} s" if replica_id in asked else "its line to the controller is broken"
    )
    return ReloadOutcome(replica_id, False, f"{why}; reload again, or look at its log")
