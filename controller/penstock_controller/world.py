"""What the parts of the reconciler share: the state of one controller life, and the ways to change it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import structlog

from penstock_controller.actuators.base import Actuator
from penstock_controller.bell import Bell
from penstock_controller.chains.versions import ChainVersions
from penstock_controller.fleet import Fleet, Place
from penstock_controller.load import LoadMeter
from penstock_controller.records import Deployment, Event, Promotion, ScaleDecision
from penstock_controller.registry import Registry
from penstock_controller.reloading import Reloads
from penstock_controller.removing import Removals
from penstock_controller.scaling.decision import Decision, PolicyState
from penstock_controller.sessions import RunnerSessions
from penstock_controller.stopping import Stopper
from penstock_controller.store import Store

log = structlog.get_logger("controller")


@dataclass(slots=True)
class Scaling:
    """What is remembered of the scaling of one deployment."""

    state: PolicyState = field(default_factory=PolicyState)
    latest: Decision | None = None
    """Outcome of the last look; None before the first."""
    last_change: ScaleDecision | None = None
    """The last decision that changed the target or its rule."""
    initial: bool = False
    """It was created or started anew, and not looked at since."""
    look_again_at: float | None = None
    surplus: frozenset[str] = frozenset()
    """Replicas that are the last choice now."""


class World:
    """The state of one controller life. One event loop."""

    def __init__(
        self,
        *,
        registry: Registry,
        store: Store,
        actuator: Actuator,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self.registry = registry
        self.store = store
        self.actuator = actuator
        self.clock = clock
        self.wall = wall
        self.fleet = Fleet()
        self.load = LoadMeter()
        self.sessions = RunnerSessions(registry.epoch)
        self.changes = Bell()
        """Rings on every event."""
        self.stopper = Stopper(registry, self.sessions, actuator, self.changes, clock)
        self.removals = Removals(registry, self.sessions)
        self.reloads = Reloads(self.sessions)
        self.deployments: dict[str, Deployment] = {}
        self.chains = ChainVersions()
        self.promotions: list[Promotion] = []
        """Those that wait for a ready replica."""
        self.all_paused = False
        self._scaling: dict[str, Scaling] = {}
        self._unsaved: set[str] = set()
        self.on_change: Callable[[], None] = lambda: None
        self.on_forget: Callable[[Deployment], None] = lambda _: None
        """Called with the id of each deployment that is forgotten."""

    @property
    def targets(self) -> Mapping[str, int]:
        """Replicas wanted, by deployment."""
        return {deployment_id: scaling.state.target for deployment_id, scaling in self._scaling.items()}

    def load_state(self) -> None:
        """Reads what an earlier life has left."""
        self.load_deployments()
        for deployment_id, target in self.store.targets().items():
            decisions = self.store.decisions(deployment_id)
            self._scaling[deployment_id] = Scaling(
                PolicyState(target=target), last_change=decisions[0] if decisions else None
            )

    def load_deployments(self) -> None:
        self.deployments = {d.deployment_id: d for d in self.store.deployments()}
        self.chains.update(self.deployments.values())
        self.promotions = self.store.promotions()
        self.all_paused = self.store.all_paused
        self.registry.set_deployments(self.deployments.values())

    def put_deployment(self, deployment: Deployment) -> None:
        """Stores a changed deployment."""
        self.store.put_deployment(deployment)
        self.load_deployments()

    def version_of(self, deployment_id: str) -> list[Deployment]:
        """Returns the deployments that are promoted together with this one, itself included: the entrypoint first."""
        return [self.deployments[member] for member in self.chains.members(deployment_id)]

    def scaling(self, deployment_id: str) -> Scaling:
        return self._scaling.setdefault(deployment_id, Scaling())

    def changed(self) -> None:
        """Something happened that may need an action or a new snapshot."""
        self.changes.ring()
        self.on_change()

    def artifacts_in_use(self) -> set[str]:
        """Returns the artifacts that deployments are made of."""
        return {d.artifact for d in self.deployments.values() if d.artifact}

    def save_places(self, deployment_id: str) -> None:
        """Has the places of a deployment stored at the end of the round.

        A crash before that does no harm: who sits where is found out anew when replicas are adopted.
        """
        self._unsaved.add(deployment_id)

    def save_place(self, place: Place) -> None:
        """Stores one place at once."""
        if place.deployment_id in self._unsaved:
            self.flush_places()
        self.store.put_place(place)

    def flush_places(self) -> None:
        """Stores what `save_places` was called for."""
        unsaved, self._unsaved = self._unsaved, set()
        for deployment_id in unsaved & self.deployments.keys():
            self.store.put_places(deployment_id, self.fleet.places(deployment_id))

    def forget(self, deployment: Deployment) -> None:
        """The last replica of a removed deployment has ended."""
        deployment_id = deployment.deployment_id
        self.store.delete_deployment(deployment_id)
        self.fleet.forget(deployment_id)
        self.load.forget(deployment_id)
        self._scaling.pop(deployment_id, None)
        self.load_deployments()
        self.on_forget(deployment)
        self.event("deployment_removed", "its last replica has ended", deployment_id)

    def leave(self, replica_id: str) -> None:
        """The replica gives up its place."""
        place = self.fleet.leave(replica_id)
        if place is not None:
            self.save_places(place.deployment_id)
            self.registry.touch(place.deployment_id)

    def event(self, kind: str, text: str, deployment_id: str | None = None, replica_id: str | None = None) -> None:
        """Keeps an event for operators."""
        self.store.journal.add(Event(self.wall(), kind, text, deployment_id, replica_id))
