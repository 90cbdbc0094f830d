"""The places of every deployment, and which replica sits in each.

A deployment with target N has places 0 … N−1. A replica that drains gives up its place and becomes a leaver: it
finishes its streams while another one may already sit where it sat. Pure; the shell starts and ends processes.
"""

from __future__ import annotations

from collections.abc import Iterable

from penstock_controller.restarts import ExitKind, PlaceState, Restarts


class Place:
    """One seat of a deployment. Read-only outside this module, but for `restarts` before it is restored."""

    __slots__ = ("_restarts", "deployment_id", "index", "occupied", "replica_id")

    def __init__(
        self, deployment_id: str, index: int, replica_id: str | None = None, restarts: Restarts | None = None
    ) -> None:
        self.deployment_id = deployment_id
        self.index = index
        self.replica_id = replica_id
        """The replica that sits here, or, after a failure, the last that did."""
        self.restarts = Restarts() if restarts is None else restarts

    @property
    def restarts(self) -> Restarts:
        return self._restarts

    @restarts.setter
    def restarts(self, restarts: Restarts) -> None:
        self._restarts = restarts
        # Asked for every place several times a round.
        self.occupied = restarts.state is PlaceState.OCCUPIED


class Fleet:
    """All places and leavers."""

    def __init__(self) -> None:
        self._places: dict[str, dict[int, Place]] = {}
        self._by_replica: dict[str, Place] = {}
        self._leavers: dict[str, str] = {}
        self._sorted: dict[str, tuple[Place, ...]] = {}
        """Of those deployments whose places have not changed since."""

    def places(self, deployment_id: str) -> tuple[Place, ...]:
        """Returns the places of a deployment by index."""
        found = self._sorted.get(deployment_id)
        if found is None:
            places = self._places.get(deployment_id, {})
            found = self._sorted[deployment_id] = tuple(places[index] for index in sorted(places))
        return found

    def all_places(self) -> list[Place]:
        return [place for deployment_id in self._places for place in self.places(deployment_id)]

    def place_of(self, replica_id: str) -> Place | None:
        """Returns the place where the replica sits now."""
        return self._by_replica.get(replica_id)

    def leavers(self) -> dict[str, str]:
        """Returns the replicas that are to end, with their deployments."""
        return dict(self._leavers)

    def restore(self, place: Place) -> None:
        """Takes over a place of an earlier controller life."""
        self._places.setdefault(place.deployment_id, {})[place.index] = place
        self._sorted.pop(place.deployment_id, None)
        if place.replica_id is not None and place.occupied:
            self._by_replica[place.replica_id] = place

    def is_empty(self, deployment_id: str) -> bool:
        """Tells whether no replica of the deployment is left, neither in a place nor leaving."""
        return not any(p.occupied for p in self.places(deployment_id)) and deployment_id not in self._leavers.values()

    def resize(self, deployment_id: str, target: int, victims: Iterable[str]) -> list[Place]:
        """Makes room for exactly `target` replicas. Returns the places that were given up.

        Victims leave their places, then the places with the highest indexes are closed; their replicas, if any are
        left, move down into the gaps.
        """
        places = self._places.setdefault(deployment_id, {})
        for replica_id in victims:
            self.leave(replica_id)
        before = self.places(deployment_id)
        self._sorted.pop(deployment_id, None)
        occupied = [place for place in before if place.occupied]
        removed = [place for place in before if place.index >= target and not place.occupied]
        for place in occupied:
            if place.index < target:
                continue
            gap = next((i for i in range(target) if i not in places or not places[i].occupied), None)
            if gap is None:
                break
            removed.append(Place(deployment_id, place.index))
            del places[place.index]
            place.index = gap
            places[gap] = place
        for place in removed:
            if places.get(place.index) is place:
                del places[place.index]
        for index in range(target):
            places.setdefault(index, Place(deployment_id, index))
        return removed

    def due(self, deployment_id: str, now: float) -> list[Place]:
        """Returns the places whose next replica may be started now."""
        return [place for place in self.places(deployment_id) if place.restarts.may_start(now)]

    def next_start_at(self) -> float | None:
        """Returns when the next back-off ends; None when no place backs off."""
        waiting = (p.restarts.next_start_at for p in self.all_places() if not p.occupied)
        return min((at for at in waiting if at is not None), default=None)

    def occupy(self, place: Place, replica_id: str, now: float) -> None:
        """A new replica is about to be started in the place."""
        place.replica_id = replica_id
        place.restarts = place.restarts.started(now)
        self._by_replica[replica_id] = place

    def ready(self, replica_id: str) -> None:
        place = self._by_replica.get(replica_id)
        if place is not None:
            place.restarts = place.restarts.ready()

    def leave(self, replica_id: str) -> Place | None:
        """The replica drains or is to end: it gives up its place. Returns the place."""
        place = self._by_replica.pop(replica_id, None)
        if place is None:
            return None
        self._leavers[replica_id] = place.deployment_id
        place.replica_id = None
        place.restarts = place.restarts.released()
        return place

    def rejoin(self, replica_id: str, now: float) -> Place | None:
        """The drain of a leaver was taken back: it gets a place again, a vacant one if there is one. Returns it."""
        deployment_id = self._leavers.pop(replica_id, None)
        if deployment_id is None:
            return None
        places = self._places.setdefault(deployment_id, {})
        place = next((place for place in self.places(deployment_id) if not place.occupied), None)
        if place is None:
            index = max(places, default=-1) + 1
            place = places[index] = Place(deployment_id, index)
            self._sorted.pop(deployment_id, None)
        place.replica_id = replica_id
        place.restarts = place.restarts.adopted(now)
        self._by_replica[replica_id] = place
        return place

    def add_leaver(self, replica_id: str, deployment_id: str) -> None:
        """A replica that no place knows is to end."""
        self._leavers[replica_id] = deployment_id

    def exited(self, replica_id: str, kind: ExitKind, message: str, now: float) -> Place | None:
        """The process of a replica has ended. Returns the place that it leaves for another, if it sat in one."""
        self._leavers.pop(replica_id, None)
        place = self._by_replica.pop(replica_id, None)
        if place is not None:
            place.restarts = place.restarts.exited(kind, message, now)
        return place

    def forget(self, deployment_id: str) -> None:
        """Drops the places of a deployment without replicas."""
        self._places.pop(deployment_id, None)
        self._sorted.pop(deployment_id, None)
