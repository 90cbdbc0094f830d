"""Prints what the replicas, and the builds of deployments, write to their log files."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from penstock.cli.up.log_tail import LogTail, render_line
from penstock.cli.up.observation import Observation
from penstock.cli.up.progress import View
from penstock.cli.up.transitions import label

POLL_INTERVAL_S = 0.1


class LogPump:
    """Follows the log file of every replica that was seen."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._tails: dict[str, tuple[str, LogTail]] = {}

    def follow(self, observation: Observation, names: Mapping[str, str]) -> None:
        """Follows the replicas and builds of `observation`, and no longer those that are gone."""
        seen = set()
        for replica in observation.replicas:
            seen.add(replica.replica_id)
            if replica.log_path and replica.replica_id not in self._tails:
                self._tails[replica.replica_id] = (label(replica, names), LogTail(Path(replica.log_path)))
        for deployment in observation.deployments:
            if not deployment.build_log_path:
                continue
            key = f"build {deployment.deployment_id}"
            seen.add(key)
            # One that was built in an earlier life has nothing new to say.
            if deployment.phase == "BUILDING" and key not in self._tails:
                name = names.get(deployment.deployment_id, deployment.name)
                self._tails[key] = (f"{name}/build", LogTail(Path(deployment.build_log_path)))
        for replica_id in self._tails.keys() - seen:
            who, tail = self._tails.pop(replica_id)
            self._show(who, tail.finish())

    async def run(self) -> None:
        """Prints new lines until it is cancelled."""
        while True:
            self.print_new()
            await asyncio.sleep(POLL_INTERVAL_S)

    def print_new(self) -> None:
        for who, tail in self._tails.values():
            self._show(who, tail.read_lines())

    def print_rest(self) -> None:
        """Prints everything that is left, when nothing more is going to be written."""
        for who, tail in self._tails.values():
            self._show(who, tail.finish())

    def _show(self, who: str, lines: list[str]) -> None:
        for line in lines:
            if (text := render_line(line)) is not None:
                self._view.log_line(who, text)
