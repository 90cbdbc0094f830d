"""Replicas to choose from, in few words."""

from __future__ import annotations

from collections.abc import Callable

from penstock.candidate import ReplicaReport
from penstock.placement import Placement, PlacementStrategy


def report(
    id: str,
    active: int = 0,
    capacity: int = 10,
    *,
    deployment: str = "d",
    ready: bool = True,
    cordoned: bool = False,
    age_s: float = 0.0,
) -> ReplicaReport:
    return ReplicaReport(id, deployment, f"{id}:1", ready, cordoned, active, capacity, age_s)


def placement(*reports: ReplicaReport, choose: Callable[[int], int] = lambda _: 0, edge_count: int = 0) -> Placement:
    made = Placement(choose)
    made.update(reports, 0.0, is_partial=False, edge_count=edge_count)
    return made


def chosen(
    of: Placement,
    now: float = 0.0,
    tried: tuple[str, ...] = (),
    deployment: str = "d",
    strategy: PlacementStrategy = PlacementStrategy.SPREAD,
) -> str | None:
    candidate = of.choose(deployment, tried, now, strategy)
    return None if candidate is None else candidate.replica_id
