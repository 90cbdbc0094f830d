"""Streams that wait for a slot: one line per deployment, first in, first out, bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock_edge.opening import Opening


class WaitingLines:
    """All lines of an edge process."""

    def __init__(self) -> None:
        self._lines: dict[str, dict[Opening, None]] = {}
        self.refused_total: dict[str, int] = {}
        """Streams refused for want of a slot, per deployment."""

    def has(self, deployment_id: str) -> bool:
        """Whether anyone waits for the deployment."""
        return bool(self._lines.get(deployment_id))

    def join(self, opening: Opening) -> bool:
        """Takes the last place; returns False when the line is full."""
        line = self._lines.get(opening.deployment.id, {})
        if len(line) >= opening.deployment.settings.queue_streams_max:
            return False
        line[opening] = None
        self._lines[opening.deployment.id] = line
        return True

    def rejoin(self, opening: Opening) -> None:
        """Takes the place back that an opening left for a try which came to nothing, before all who came later."""
        line = self._lines.get(opening.deployment.id, {})
        line[opening] = None
        self._lines[opening.deployment.id] = dict.fromkeys(sorted(line, key=_since))

    def leave(self, opening: Opening) -> None:
        """Gives a place up."""
        line = self._lines.get(opening.deployment.id)
        if line is not None:
            line.pop(opening, None)
            if not line:
                del self._lines[opening.deployment.id]

    def count_refusal(self, deployment_id: str) -> None:
        """Counts a stream that got no slot."""
        self.refused_total[deployment_id] = self.refused_total.get(deployment_id, 0) + 1

    def wake(self, deployment_id: str | None = None) -> None:
        """Lets those in front try, until one finds nothing to try. Without an argument, in every line."""
        for key in [deployment_id] if deployment_id is not None else list(self._lines):
            for opening in list(self._lines.get(key, ())):
                if not opening.wake():
                    break

    def deployments(self) -> list[str]:
        """Those for which anyone waits."""
        return list(self._lines)

    def demand(self) -> dict[str, tuple[int, float]]:
        """Per deployment: how many wait, and since when the first of them does."""
        return {deployment_id: (len(line), min(map(_since, line))) for deployment_id, line in self._lines.items()}


def _since(opening: Opening) -> float:
    assert opening.waiting_since is not None
    return opening.waiting_since
