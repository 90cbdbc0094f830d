"""The connected edges and the demand they tell. Pure: every event comes with its time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from penstock_controller.errors import TooManySessionsError
from penstock_controller.records import Demand, EdgeReport, Subscription

EDGES_MAX = 10_000
"""Limit on the edges of one controller; further ones are refused."""


INNER_ADDRESSES_MAX = 8
"""Edges that the replicas of a chain are told; one is enough, the others are for when it dies."""


@dataclass(frozen=True, slots=True)
class InnerAddresses:
    """Where edges serve the replicas of chains."""

    trunks: tuple[str, ...] = ()
    """Of trunks for calls between chainlets."""
    http: str = ""
    """Of HTTP and WebSocket; empty when no edge is there."""


@dataclass(slots=True, eq=False)
class Edge:
    """One connected edge process. Read-only outside this module."""

    subscription: Subscription
    session: int
    reported_at: float
    report: EdgeReport = field(default_factory=EdgeReport)


class EdgeTable:
    """All edges of one controller life. The demand of an edge ends with its call."""

    def __init__(self, lease_s: float) -> None:
        self._lease_s = lease_s
        self._edges: dict[str, Edge] = {}

    def __iter__(self) -> Iterator[Edge]:
        return iter(self._edges.values())

    def __len__(self) -> int:
        return len(self._edges)

    def connected(self, subscription: Subscription, session: int, now: float) -> int | None:
        """An edge has opened its call. Returns the session it replaces, which must be closed.

        Raises:
            TooManySessionsError: EDGES_MAX is reached.
        """
        known = self._edges.get(subscription.edge_id)
        if known is None and len(self._edges) >= EDGES_MAX:
            raise TooManySessionsError(f"this controller keeps at most {EDGES_MAX} edges")
        self._edges[subscription.edge_id] = Edge(subscription, session, now)
        return None if known is None else known.session

    def reported(self, edge_id: str, session: int, report: EdgeReport, now: float) -> set[str]:
        """An edge told its state. Returns the deployments whose demand differs from before."""
        edge = self._edges.get(edge_id)
        if edge is None or edge.session != session:
            return set()
        before, after = edge.report.demands, report.demands
        edge.report = report
        edge.reported_at = now
        if not before and not after:
            return set()
        return {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}

    def gone(self, edge_id: str, session: int) -> set[str]:
        """The call of an edge ended. Returns the deployments whose demand changes with it."""
        edge = self._edges.get(edge_id)
        if edge is None or edge.session != session:
            return set()
        del self._edges[edge_id]
        return set(edge.report.demands)

    def inner_addresses(self, now: float) -> InnerAddresses:
        """Returns where edges serve runners: those that were heard of within their lease and do not drain, oldest
        first."""
        able = [e for e in self._edges.values() if not e.report.draining and now - e.reported_at < self._lease_s]
        inner = dict.fromkeys(e.subscription.inner_address for e in able if e.subscription.inner_address)
        http = next((e.subscription.http_address for e in able if e.subscription.http_address), "")
        return InnerAddresses(tuple(inner)[:INNER_ADDRESSES_MAX], http)

    def demands(self, deployment_id: str, now: float) -> list[Demand]:
        """Returns the demand of every edge that has any and was heard of within its lease."""
        return [
            edge.report.demands[deployment_id]
            for edge in self._edges.values()
            if deployment_id in edge.report.demands and now - edge.reported_at < self._lease_s
        ]

    def waiting_streams(self, deployment_id: str, now: float) -> int:
        """Returns the streams that wait for a slot."""
        return sum(demand.waiting for demand in self.demands(deployment_id, now))
