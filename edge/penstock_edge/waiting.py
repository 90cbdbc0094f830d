"""Streams that wait for a slot: one line per deployment, first in, first out, bounded. Pure."""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import Protocol

from penstock_edge.routing import Deployment


class Waiter(Protocol):
    """Who stands in a line: an Opening that wants a slot, or the wish for a replica (wake.py)."""

    deployment: Deployment
    waiting_since: float | None
    """When it joined the line; None before that."""

    def wake(self) -> bool:
        """There may be a slot now. Returns whether those behind may find something, too."""


_DEAD_PLACES_MAX = 64
"""Places of those who left from amid a line are swept out when they are more than this, and than those in use."""


class _Place:
    """Where an opening stands. `opening` is None when it stands there no more."""

    __slots__ = ("number", "opening")

    def __init__(self, number: int, opening: Waiter) -> None:
        self.number = number
        self.opening: Waiter | None = opening

    def __lt__(self, other: _Place) -> bool:
        return self.number < other.number


class _Line:
    """One line. A place is taken, left for a try and taken again in O(log n), wherever in the line it is."""

    __slots__ = ("_heap", "_next_number", "_standing", "_trying")

    def __init__(self) -> None:
        self._heap: list[_Place] = []
        self._standing: dict[Waiter, _Place] = {}
        self._trying: dict[Waiter, int] = {}
        """Numbers of those who are out for a try, and come back if it fails."""
        self._next_number = 0

    def __len__(self) -> int:
        return len(self._standing)

    @property
    def places_taken(self) -> int:
        """Those who stand in line, and those who may come back."""
        return len(self._standing) + len(self._trying)

    def first(self) -> Waiter | None:
        """Who is at the head of the line."""
        while self._heap:
            opening = self._heap[0].opening
            if opening is not None:
                return opening
            heappop(self._heap)
        return None

    def join(self, opening: Waiter) -> None:
        self._stand(opening, self._next_number)
        self._next_number += 1

    def step_out(self, opening: Waiter) -> None:
        place = self._standing.pop(opening, None)
        if place is not None:
            place.opening = None
            self._trying[opening] = place.number

    def step_in(self, opening: Waiter) -> None:
        number = self._trying.pop(opening, None)
        if number is not None:
            self._stand(opening, number)

    def leave(self, opening: Waiter) -> None:
        self._trying.pop(opening, None)
        place = self._standing.pop(opening, None)
        if place is not None:
            place.opening = None
            if len(self._heap) - len(self._standing) > max(_DEAD_PLACES_MAX, len(self._standing)):
                self._heap = [place for place in self._heap if place.opening is not None]
                heapify(self._heap)

    def _stand(self, opening: Waiter, number: int) -> None:
        place = self._standing[opening] = _Place(number, opening)
        heappush(self._heap, place)


class WaitingLines:
    """All lines of an edge process."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}
        self.refused_total: dict[str, int] = {}
        """Streams refused for want of a slot, per deployment."""

    def has(self, deployment_id: str) -> bool:
        """Whether anyone waits for the deployment."""
        return bool(self._lines.get(deployment_id))

    def length(self, deployment_id: str) -> int:
        """How many wait for the deployment."""
        line = self._lines.get(deployment_id)
        return 0 if line is None else len(line)

    def first(self, deployment_id: str) -> Waiter | None:
        """Who is at the head of the line."""
        line = self._lines.get(deployment_id)
        return None if line is None else line.first()

    def join(self, opening: Waiter) -> bool:
        """Takes the last place; returns False when the line is full."""
        line = self._lines.get(opening.deployment.id)
        if line is None:
            line = _Line()
        if line.places_taken >= opening.deployment.settings.queue_streams_max:
            return False
        line.join(opening)
        self._lines[opening.deployment.id] = line
        return True

    def step_out(self, opening: Waiter) -> None:
        """Leaves for a try; the place is kept."""
        line = self._lines.get(opening.deployment.id)
        if line is not None:
            line.step_out(opening)

    def step_in(self, opening: Waiter) -> None:
        """Takes the place again after a try that came to nothing, before all who came later."""
        line = self._lines.get(opening.deployment.id)
        if line is not None:
            line.step_in(opening)

    def leave(self, opening: Waiter) -> None:
        """Gives the place up."""
        line = self._lines.get(opening.deployment.id)
        if line is not None:
            line.leave(opening)
            if not line.places_taken:
                del self._lines[opening.deployment.id]

    def count_refusal(self, deployment_id: str) -> None:
        """Counts a stream that got no slot."""
        self.refused_total[deployment_id] = self.refused_total.get(deployment_id, 0) + 1

    def wake(self, deployment_id: str, limit: int) -> bool:
        """Lets those in front try, until one finds nothing to try, but no more than `limit` of them. Returns whether
        those behind may find something."""
        opening = self.first(deployment_id)
        for _ in range(limit):
            if opening is None or not opening.wake():
                return False
            following = self.first(deployment_id)
            # It may be back from its try already; then there is nothing for the others either.
            opening = following if following is not opening else None
        return opening is not None

    def deployments(self) -> list[str]:
        """Those for which anyone waits."""
        return [deployment_id for deployment_id, line in self._lines.items() if line]

    def demand(self) -> dict[str, tuple[int, float]]:
        """Per deployment: how many wait, and since when the first of them does."""
        return {
            deployment_id: (len(line), first.waiting_since)
            for deployment_id, line in self._lines.items()
            if (first := line.first()) is not None and first.waiting_since is not None
        }
