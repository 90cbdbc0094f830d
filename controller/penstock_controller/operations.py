"""What operators ask of the controller. Each call is one step between two looks of the reconciler."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from penstock_controller.chains.names import check_free
from penstock_controller.chains.preparing import PreparedChain
from penstock_controller.chains.retiring import retire
from penstock_controller.deploying import renewed
from penstock_controller.errors import ConflictError, InvalidRequestError
from penstock_controller.identifiers import check_name
from penstock_controller.naming import PRODUCTION, find_deployment, find_replicas
from penstock_controller.pointing import point
from penstock_controller.promotions import Promotions, return_replica
from penstock_controller.records import Deployment, Promotion, ReplicaState
from penstock_controller.scaling.overrides import ScalingOverrides, check
from penstock_controller.world import World


class ReplicaChange(Enum):
    """What an operator does with a replica."""

    CORDON = "cordon"
    UNCORDON = "uncordon"
    DRAIN = "drain"
    UNDRAIN = "undrain"


@dataclass(frozen=True, slots=True)
class ChangedReplica:
    """What became, or would become, of a replica."""

    replica_id: str
    deployment_id: str
    active_streams: int
    outcome: str


@dataclass(frozen=True, slots=True)
class PromotionOutcome:
    """What became, or would become, of a promotion."""

    name: str
    environment: str
    to_deployment_id: str
    from_deployment_id: str
    open_streams: int
    """On the deployment before."""
    pending: bool
    chainlets: int = 0
    """Of the chain that is promoted; 0 for a model."""


class Operations:
    """The requests of operators.

    Args:
        acting: held while the world is changed, so that a request falls between two rounds of the loop.
    """

    def __init__(self, world: World, promotions: Promotions, acting: asyncio.Lock) -> None:
        self._world = world
        self._promotions = promotions
        self._acting = acting

    async def apply(
        self, deployments: Sequence[Deployment], *, prune: bool, chains: Sequence[PreparedChain] = ()
    ) -> list[bool]:
        """Creates deployments and chains and points their environments at them; what operators changed before is
        forgotten.

        Args:
            deployments: Of models.
            prune: Also remove all others.
            chains: Each with all of its deployments.

        Returns for each chain whether its version existed.

        Raises:
            ConflictError: A model has the name of a chain.
        """
        world, store = self._world, self._world.store
        wanted = [*deployments, *(member for chain in chains for member in chain.members)]
        kept = {deployment.deployment_id for deployment in wanted}
        async with self._acting:
            others = [d for d in world.deployments.values() if d.deployment_id not in kept]
            # What goes in the same breath is in nobody's way.
            _check_names(wanted, [] if prune else others)
            existed = [all(self._is_there(member) for member in chain.members) for chain in chains]
            with store.transaction():
                for deployment in wanted:
                    store.put_deployment(renewed(deployment, world.deployments.get(deployment.deployment_id)))
                for version in [*([deployment] for deployment in deployments), *(chain.members for chain in chains)]:
                    for environment in version[0].environments:
                        point(world, version, environment)
                        for deployment in version:
                            store.delete_promotion(deployment.name, environment)
                if prune:
                    retire(world, others)
            for deployment in wanted:
                world.scaling(deployment.deployment_id).initial = True
                world.event("deployment_applied", f"from {deployment.source}", deployment.deployment_id)
            world.load_deployments()
            for deployment in wanted:
                self._send_capacity(deployment.deployment_id)
        world.changed()
        return existed

    async def stop_all(self, grace_s: float) -> tuple[int, int]:
        """Ends every replica and starts none until deployments are applied again.

        Returns how many replicas ended and how many streams were cut.
        """
        world = self._world
        async with self._acting:
            world.store.stop_deployments()
            world.load_deployments()
            for place in world.fleet.all_places():
                if place.occupied and place.replica_id is not None:
                    world.fleet.leave(place.replica_id)
            deadline = world.clock() + grace_s
            stops = [world.stopper.request(replica_id, deadline) for replica_id in world.fleet.leavers()]
        world.event("replicas_stopped", f"{len(stops)} replicas, grace {grace_s:g} s")
        world.changed()
        # Shielded: a caller that gives up must not leave replicas half ended.
        cut = [await asyncio.shield(stop) for stop in stops]
        return len(stops), sum(cut)

    async def scale(
        self, name: str, change: ScalingOverrides | None, *, dry_run: bool
    ) -> tuple[Deployment, Deployment]:
        """Changes how a deployment may be scaled; None goes back to config.yaml. Returns it before and after.

        Raises:
            ControllerError: It does not exist, or a value is wrong.
        """
        world = self._world
        async with self._acting:
            before = find_deployment(name, world.deployments.values())
            overrides = _merged(before.overrides, change)
            problem = check(overrides)
            if problem is not None:
                given = change is not None and change.max_replica is not None
                earlier = "" if given or not problem.startswith("max_replica") else " (set by an operator before)"
                raise InvalidRequestError(problem + earlier)
            after = replace(before, overrides=overrides)
            if not dry_run and after != before:
                world.put_deployment(after)
                world.event("deployment_scaled", _described(overrides), after.deployment_id)
                if before.overrides.max_concurrency != overrides.max_concurrency:
                    self._send_capacity(after.deployment_id)
        world.changed()
        return before, after

    async def pause(self, name: str, paused: bool) -> list[str]:
        """Pauses or resumes scaling of one deployment, or of all with an empty name. Returns those that are paused."""
        world = self._world
        async with self._acting:
            if name:
                deployment = find_deployment(name, world.deployments.values())
                if world.all_paused and not paused:
                    raise ConflictError("scaling is paused for all deployments; resume all of them first")
                chosen = [deployment]
            else:
                world.store.set_all_paused(paused)
                # To resume all is to resume those that were paused one by one, too.
                chosen = [] if paused else [d for d in world.deployments.values() if d.overrides.paused]
            for deployment in chosen:
                world.store.put_deployment(replace(deployment, overrides=replace(deployment.overrides, paused=paused)))
            world.load_deployments()
            kind = "scaling_paused" if paused else "scaling_resumed"
            if name:
                world.event(kind, "by an operator", chosen[0].deployment_id)
            else:
                world.event(kind, "all deployments")
        world.changed()
        return [d.deployment_id for d in world.deployments.values() if d.overrides.paused or world.all_paused]

    async def change_replicas(
        self, change: ReplicaChange, names: Sequence[str], *, grace_s: float | None, dry_run: bool
    ) -> list[ChangedReplica]:
        """Cordons, uncordons, drains or undrains replicas.

        Raises:
            ControllerError: One does not exist; then nothing is changed.
        """
        world = self._world
        async with self._acting:
            owners = {r.replica_id: r.deployment_id for r in world.registry.replicas()}
            found = {r: None for name in names for r in find_replicas(name, owners, world.deployments.values())}
            changed = [self._change(change, replica_id, grace_s, dry_run) for replica_id in sorted(found)]
        world.changed()
        return changed

    async def promote(
        self, name: str, environment: str, *, deadline_s: float | None, at_once: bool, dry_run: bool
    ) -> PromotionOutcome:
        """Points an environment at a deployment; of a chain at all of its deployments.

        Raises:
            ControllerError: The deployment does not exist, is being removed, or was stopped; or it is a chainlet that
                is promoted with its chain only.
        """
        world = self._world
        environment = environment or PRODUCTION
        check_name("environment", environment)
        async with self._acting:
            deployment = find_deployment(name, world.deployments.values())
            if deployment.is_inner:
                raise ConflictError(
                    f"{deployment.deployment_id} is a chainlet, which is promoted with its chain: promote"
                    f" {deployment.version_id}"
                )
            members = world.version_of(deployment.deployment_id)
            for member in members:
                if member.retired or member.stopped:
                    state = "is being removed" if member.retired else "was stopped"
                    raise ConflictError(f"{member.deployment_id} {state}; apply it again first")
            before = next(
                (d for d in world.deployments.values() if d.name == deployment.name and environment in d.environments),
                None,
            )
            is_new = before is not None and before.deployment_id != deployment.deployment_id
            pending = False
            if not dry_run:
                promotion = Promotion(deployment.name, environment, deployment.deployment_id, deadline_s, world.wall())
                pending = self._promotions.request(promotion, at_once=at_once)
        world.changed()
        return PromotionOutcome(
            name=deployment.name,
            environment=environment,
            to_deployment_id=deployment.deployment_id,
            from_deployment_id=before.deployment_id if before is not None else "",
            open_streams=self._open_streams(before.deployment_id) if before is not None and is_new else 0,
            pending=pending,
            chainlets=0 if deployment.chain is None else len(members),
        )

    def _is_there(self, deployment: Deployment) -> bool:
        known = self._world.deployments.get(deployment.deployment_id)
        return known is not None and not known.retired

    def _change(self, change: ReplicaChange, replica_id: str, grace_s: float | None, dry_run: bool) -> ChangedReplica:
        replica = self._world.registry.replica(replica_id)
        assert replica is not None
        outcome = self._outcome(change, replica_id, grace_s, dry_run)
        return ChangedReplica(replica_id, replica.deployment_id, replica.active_streams, outcome)

    def _outcome(self, change: ReplicaChange, replica_id: str, grace_s: float | None, dry_run: bool) -> str:
        world = self._world
        replica = world.registry.replica(replica_id)
        assert replica is not None
        match change:
            case ReplicaChange.CORDON | ReplicaChange.UNCORDON:
                cordoned = change is ReplicaChange.CORDON
                if replica.cordoned == cordoned:
                    return "was cordoned already" if cordoned else "was not cordoned"
                if not dry_run:
                    world.registry.cordon(replica_id, cordoned)
                    world.store.put_cordon(replica_id, cordoned)
                    world.event(f"replica_{change.value}ed", "by an operator", replica.deployment_id, replica_id)
                return "is the last choice for new streams" if cordoned else "takes new streams as any other"
            case ReplicaChange.DRAIN:
                if not dry_run:
                    world.leave(replica_id)
                    deadline = None if grace_s is None else world.clock() + grace_s
                    world.stopper.request(replica_id, deadline, 0.0 if grace_s is None else grace_s / 10)
                    world.event("replica_drained", "by an operator", replica.deployment_id, replica_id)
                left = "" if grace_s is None else f"; those left after {grace_s:g} s are ended with 1012"
                return f"takes no new streams and ends after its last one{left}"
            case ReplicaChange.UNDRAIN:
                if replica.state is not ReplicaState.DRAINING:
                    return "does not drain"
                if not dry_run:
                    if not world.stopper.take_back(replica_id):
                        return "is ending already; another one takes its place"
                    return_replica(world, replica_id)
                    world.event("replica_undrained", "by an operator", replica.deployment_id, replica_id)
                return "takes new streams again"

    def _send_capacity(self, deployment_id: str) -> None:
        world = self._world
        slots = slots_of(world.deployments[deployment_id])
        for replica in world.registry.replicas():
            if replica.deployment_id == deployment_id and replica.stream_capacity not in (0, slots):
                world.sessions.set_capacity(replica.replica_id, slots)

    def _open_streams(self, deployment_id: str) -> int:
        return sum(r.active_streams for r in self._world.registry.replicas() if r.deployment_id == deployment_id)


def _check_names(wanted: Sequence[Deployment], others: Sequence[Deployment]) -> None:
    for deployment in wanted:
        if not deployment.is_inner:
            check_free(deployment.name, [*others, *wanted], is_chain=deployment.chain is not None)


def slots_of(deployment: Deployment) -> int:
    """Returns how many slots a replica of the deployment is to have."""
    changed = deployment.overrides.max_concurrency
    return deployment.scaling.max_concurrency if changed is None else changed


def _merged(overrides: ScalingOverrides, change: ScalingOverrides | None) -> ScalingOverrides:
    if change is None:
        return ScalingOverrides(paused=overrides.paused)
    # New bounds mean scaling by load again.
    is_bounded = change.min_replica is not None or change.max_replica is not None
    return ScalingOverrides(
        replicas=change.replicas if change.replicas is not None or is_bounded else overrides.replicas,
        min_replica=_either(change.min_replica, overrides.min_replica),
        max_replica=_either(change.max_replica, overrides.max_replica),
        max_concurrency=_either(change.max_concurrency, overrides.max_concurrency),
        paused=overrides.paused,
    )


def _either(new: int | None, old: int | None) -> int | None:
    return old if new is None else new


def _described(overrides: ScalingOverrides) -> str:
    given = {
        "replicas": overrides.replicas,
        "min_replica": overrides.min_replica,
        "max_replica": overrides.max_replica,
        "max_concurrency": overrides.max_concurrency,
    }
    return ", ".join(f"{key} {value}" for key, value in given.items() if value is not None) or "as config.yaml says"
