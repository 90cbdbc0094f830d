"""Writes down the load of deployments for `controller simulate`. Pure; the format is described in docs/operating.md."""

from __future__ import annotations

import json
from typing import Any

from penstock.api.control.v1 import admin_pb2, load_pb2
from penstock_controller.cli.quantities import rfc3339, to_seconds, wall_seconds

KIND = "penstock-load-trace"
VERSION = 1


class LoadTrace:
    """Turns what RecordLoad answers into lines, each with its newline.

    Times come from the controller's clock, `now` from a clock of this process that never goes back.
    """

    def __init__(self, deployment: str) -> None:
        """
        Args:
            deployment: The only one that is recorded, as it was named; empty for all.
        """
        self._deployment = deployment
        self._first = admin_pb2.ControllerStatus()
        self._controller = ""
        """Id of the controller that is recorded."""
        self._started_wall = 0.0
        self._last = 0.0
        self._last_at = ""
        self._last_now = 0.0
        self._begun = False
        self._restarted = False
        """The next totals are those of a controller that counts anew."""
        self._reconnected = False
        self._totals: dict[str, _Totals] = {}
        self._autoscaling: dict[str, dict[str, Any]] = {}
        self.lines = 0
        self.gaps = 0

    def connected(self, controller: admin_pb2.ControllerStatus) -> None:
        """Tells which controller is recorded from now on; its next load is the whole state."""
        if not self._begun:
            self._first = controller
        elif controller.controller_id != self._controller:
            self._restarted = True
        self._reconnected = self._begun
        self._controller = controller.controller_id

    def load(self, response: load_pb2.RecordLoadResponse, now: float) -> list[str]:
        """Takes an answer of RecordLoad."""
        lines = []
        at = rfc3339(response.at)
        if not self._begun:
            self._started_wall = wall_seconds(response.at)
            lines.append(self._head(at))
        t = max(self._last, round(wall_seconds(response.at) - self._started_wall, 3))
        if self._reconnected:
            lines.append(self._gap(t))
        lines += [self._load(load, t, at) for load in response.loads]
        self._begun, self._reconnected, self._restarted = True, False, False
        self._last, self._last_at, self._last_now = t, at, now
        return self._counted(lines)

    def end(self, now: float) -> list[str]:
        """Tells that the recording ends in order."""
        if not self._begun:
            return []
        elapsed = max(0.0, now - self._last_now)
        return self._counted([_line(kind="end", t=round(self._last + elapsed, 3))])

    def _head(self, at: str) -> str:
        first = self._first
        return _line(
            kind=KIND,
            version=VERSION,
            started_at=at,
            deployment=self._deployment or None,
            controller={"id": first.controller_id, "epoch": first.epoch, "version": first.version},
        )

    def _gap(self, until: float) -> str:
        self.gaps += 1
        return _line(kind="gap", t=self._last, at=self._last_at, until_t=until, restarted=self._restarted)

    def _load(self, load: load_pb2.DeploymentLoad, t: float, at: str) -> str:
        new = load.deployment_id not in self._totals
        totals = self._totals.setdefault(load.deployment_id, _Totals())
        totals.take(load, from_here=self._restarted if not new else not self._begun)
        content: dict[str, Any] = {
            "kind": "load",
            "t": t,
            "at": at,
            "deployment": load.deployment_id,
            "name": load.name,
            "active": load.active_streams,
            "waiting": load.waiting_streams,
            "admitted_total": totals.admitted,
            "refused_total": totals.refused,
            "ready": load.ready_replicas,
            "starting": load.starting_replicas,
            "cold_starts": [round(to_seconds(start), 3) for start in load.cold_starts],
        }
        # The settings themselves; that an operator changed one is no part of the load.
        names = [field.name for field in load.autoscaling.DESCRIPTOR.fields if field.name != "overridden"]
        autoscaling = {name: _plain(getattr(load.autoscaling, name)) for name in names}
        if load.HasField("autoscaling") and autoscaling != self._autoscaling.get(load.deployment_id):
            self._autoscaling[load.deployment_id] = content["autoscaling"] = autoscaling
        return _line(**content)

    def _counted(self, lines: list[str]) -> list[str]:
        self.lines += len(lines)
        return lines


class _Totals:
    """Totals since the recording began, whatever controller counts."""

    def __init__(self) -> None:
        self.admitted = 0
        self.refused = 0
        self._admitted_seen = 0
        self._refused_seen = 0

    def take(self, load: load_pb2.DeploymentLoad, *, from_here: bool) -> None:
        """Adds what came since the last time; with `from_here` nothing is known of it."""
        if not from_here:
            self.admitted += max(0, load.admitted_total - self._admitted_seen)
            self.refused += max(0, load.refused_total - self._refused_seen)
        self._admitted_seen = load.admitted_total
        self._refused_seen = load.refused_total


def _plain(value: Any) -> Any:
    """A number without a fraction as config.yaml has it: some of its keys take whole numbers only."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _line(**content: Any) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n"
