"""The load of deployments over time, for recordings. Pure.

Runners count the streams they have admitted since they started; here the counts of all replicas that there were become
one total per deployment, which never shrinks.
"""

from __future__ import annotations

from dataclasses import dataclass

from penstock_controller.replica import Replica

COLD_STARTS_KEPT = 100
"""Cold starts that wait for a recorder, per deployment; older ones are dropped."""


@dataclass(slots=True)
class _Counted:
    boot_id: str
    streams_total: int
    was_ready: bool


class LoadMeter:
    """Totals of all deployments since the controller started."""

    def __init__(self) -> None:
        self._admitted: dict[str, int] = {}
        self._counted: dict[str, _Counted] = {}
        self._cold_starts: dict[str, list[tuple[int, float]]] = {}
        self._cold_start_count = 0

    def heard(self, replica: Replica) -> None:
        """A replica has attached or reported."""
        if replica.registration is None or replica.report is None:
            return
        boot_id, total = replica.registration.boot_id, replica.report.streams_total
        counted = self._counted.get(replica.replica_id)
        if counted is None or counted.boot_id != boot_id:
            # What a replica admitted before this controller saw it belongs to the time before.
            is_old = replica.is_adopted and counted is None
            counted = _Counted(boot_id, total if is_old else 0, is_old)
            self._counted[replica.replica_id] = counted
        deployment_id = replica.deployment_id
        self._admitted[deployment_id] = self._admitted.get(deployment_id, 0) + max(0, total - counted.streams_total)
        counted.streams_total = max(total, counted.streams_total)
        if replica.ready_at is not None and not counted.was_ready:
            counted.was_ready = True
            self._note_cold_start(deployment_id, max(0.0, replica.ready_at - replica.known_at))

    def gone(self, replica_id: str) -> None:
        self._counted.pop(replica_id, None)

    def forget(self, deployment_id: str) -> None:
        self._admitted.pop(deployment_id, None)
        self._cold_starts.pop(deployment_id, None)

    def admitted_total(self, deployment_id: str) -> int:
        return self._admitted.get(deployment_id, 0)

    @property
    def cold_start_count(self) -> int:
        """Number of the newest cold start."""
        return self._cold_start_count

    def cold_starts(self, deployment_id: str, after: int) -> list[float]:
        """Returns the seconds from start to ready of replicas that became ready after the cold start numbered so."""
        return [seconds for number, seconds in self._cold_starts.get(deployment_id, ()) if number > after]

    def _note_cold_start(self, deployment_id: str, seconds: float) -> None:
        self._cold_start_count += 1
        kept = self._cold_starts.setdefault(deployment_id, [])
        kept.append((self._cold_start_count, seconds))
        del kept[:-COLD_STARTS_KEPT]
