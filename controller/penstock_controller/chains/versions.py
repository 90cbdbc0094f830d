"""Which deployments make up a version of a chain, and which of them may call which. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from penstock_controller.records import ChainPlace, Deployment


class ChainVersions:
    """The versions of all chains. A deployment that is no chainlet is a version by itself, and calls nobody."""

    def __init__(self, deployments: Iterable[Deployment] = ()) -> None:
        self._places: dict[str, ChainPlace] = {}
        self._versions: dict[str, dict[str, str]] = {}
        """Deployment ids by chainlet, by version; the entrypoint first, the others by name."""
        self._callers: dict[str, tuple[str, ...]] = {}
        self._callees: dict[str, tuple[str, ...]] = {}
        self.update(deployments)

    def update(self, deployments: Iterable[Deployment]) -> None:
        """Takes the deployments there are now. Cheap when no chainlet came or went."""
        places = {d.deployment_id: d.chain for d in deployments if d.chain is not None}
        if places == self._places:
            return
        self._places = places
        self._versions = {}
        self._callers, self._callees = {}, {}
        ordered = sorted(places.items(), key=lambda item: (not item[1].is_entrypoint, item[1].chainlet))
        for deployment_id, place in ordered:
            self._versions.setdefault(place.chain_id, {})[place.chainlet] = deployment_id

    def members(self, deployment_id: str) -> tuple[str, ...]:
        """Returns the deployments that are promoted together with this one, itself included: the entrypoint first."""
        place = self._places.get(deployment_id)
        return (deployment_id,) if place is None else tuple(self._versions[place.chain_id].values())

    def callees(self, deployment_id: str) -> tuple[str, ...]:
        """Returns the deployments that a call of this one may lead to, through others included."""
        found = self._callees.get(deployment_id)
        if found is None:
            place = self._places.get(deployment_id)
            found = self._callees[deployment_id] = () if place is None else self._reached(place)
        return found

    def callers(self, deployment_id: str) -> tuple[str, ...]:
        """Returns the deployments whose calls may lead to this one, through others included: the entrypoint first."""
        found = self._callers.get(deployment_id)
        if found is None:
            members = self.members(deployment_id)
            found = self._callers[deployment_id] = tuple(m for m in members if deployment_id in self.callees(m))
        return found

    def _reached(self, place: ChainPlace) -> tuple[str, ...]:
        members = self._versions[place.chain_id]
        reached: dict[str, None] = {}
        ahead = list(place.dependencies)
        while ahead:
            deployment_id = members.get(ahead.pop())
            # One that was forgotten already calls nobody.
            if deployment_id is not None and deployment_id not in reached:
                reached[deployment_id] = None
                ahead += self._places[deployment_id].dependencies
        return tuple(reached)
