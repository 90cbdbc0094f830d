"""Looks at a deployment, has the policy decide, and makes the fleet follow. Starts and ends nothing itself."""

from __future__ import annotations

from dataclasses import replace

import structlog

from penstock_controller.chains.needs import needed_by
from penstock_controller.records import Deployment, ReplicaState, ScaleDecision
from penstock_controller.removing import Removal
from penstock_controller.scaling.config import ScalingConfig
from penstock_controller.scaling.decision import Decision
from penstock_controller.scaling.observation import Observation, ReplicaObservation
from penstock_controller.scaling.overrides import effective
from penstock_controller.scaling.policy import decide
from penstock_controller.world import World

log = structlog.get_logger("controller")


class Scaler:
    """The scaling of all deployments of one controller life."""

    def __init__(self, world: World) -> None:
        self._world = world

    def look(self, deployment: Deployment, now: float) -> None:
        """Decides on one deployment and carries the decision out."""
        world = self._world
        deployment_id = deployment.deployment_id
        scaling = world.scaling(deployment_id)
        decision = self.preview(deployment, now)
        before = scaling.state.target
        scaling.state = decision.state
        scaling.latest = decision
        scaling.look_again_at = decision.evaluate_again_at
        scaling.initial = False
        self._record(deployment_id, decision, before)
        self._mark_surplus(deployment_id, decision)
        self._make_room(deployment_id, decision, now)

    def preview(self, deployment: Deployment, now: float) -> Decision:
        """Returns what a look would decide now, and changes nothing."""
        deployment_id = deployment.deployment_id
        state = self._world.scaling(deployment_id).state
        return decide(self.config(deployment), state, self.observe(deployment_id, now), now)

    def config(self, deployment: Deployment) -> ScalingConfig:
        """Returns what scaling may do with the deployment now."""
        world = self._world
        return ScalingConfig(
            settings=effective(deployment.scaling, deployment.overrides),
            manual_replicas=deployment.overrides.replicas,
            paused=deployment.overrides.paused or world.all_paused,
            stopped=deployment.stopped,
            retired=deployment.retired,
            superseded=deployment.superseded,
            wanted_soon=any(p.deployment_id == deployment.version_id for p in world.promotions),
            needed_by=needed_by(world, deployment) if deployment.superseded else "",
            initial=world.scaling(deployment.deployment_id).initial,
        )

    def observe(self, deployment_id: str, now: float) -> Observation:
        """Returns what the policy is to know of the deployment."""
        world = self._world
        replicas = []
        vacant = crash_looping = 0
        for place in world.fleet.places(deployment_id):
            replica = None
            if place.occupied and place.replica_id is not None:
                replica = world.registry.replica(place.replica_id)
            if replica is None:
                vacant += 1
                crash_looping += place.restarts.is_crash_looping(now)
                continue
            if replica.state is ReplicaState.STARTING:
                crash_looping += place.restarts.is_crash_looping(now)
            # Whose drain was taken back is about to admit again.
            comes_back = replica.undrain_ordered and replica.state is ReplicaState.DRAINING
            replicas.append(
                ReplicaObservation(
                    replica.replica_id,
                    ReplicaState.STARTING if comes_back else replica.state,
                    replica.active_streams,
                    replica.stream_capacity,
                    replica.suspect,
                    now - replica.known_at,
                    unhealthy=replica.unhealthy,
                )
            )
        return Observation(
            replicas=replicas,
            vacant_places=vacant,
            crash_looping=crash_looping,
            waiting_streams=world.registry.edges.waiting_streams(deployment_id, now),
            removing=world.removals.has(deployment_id),
            recovering=world.registry.recovering,
        )

    def removed(self, removal: Removal) -> None:
        """A victim has agreed to go."""
        world = self._world
        deployment_id, replica_id = removal.deployment_id, removal.replica_id
        scaling = world.scaling(deployment_id)
        before = scaling.state.target
        world.registry.order_drain(replica_id, world.clock())
        # It may have left its place meanwhile, for an operator's drain; then another has it by now.
        if world.fleet.leave(replica_id) is None:
            return
        if before > 0:
            scaling.state = replace(scaling.state, target=before - 1)
        world.fleet.resize(deployment_id, scaling.state.target, ())
        world.save_places(deployment_id)
        decision = scaling.latest
        if decision is not None:
            self._note(deployment_id, decision, before, scaling.state.target)

    # Inside.

    def _record(self, deployment_id: str, decision: Decision, before: int) -> None:
        last = self._world.scaling(deployment_id).last_change
        if last is None or decision.target != before:
            self._note(deployment_id, decision, before, decision.target)

    def _note(self, deployment_id: str, decision: Decision, before: int, after: int) -> None:
        world, reason = self._world, decision.reason
        noted = ScaleDecision(reason.rule, reason.text, world.wall(), before, after, dict(decision.inputs))
        world.scaling(deployment_id).last_change = noted
        world.store.add_decision(deployment_id, noted)
        world.event("scale_decided", f"{before} -> {after}: {reason.rule}: {reason.text}", deployment_id)
        log.info(
            "scale_decided", deployment=deployment_id, rule=reason.rule, reason=reason.text, before=before, after=after
        )

    def _mark_surplus(self, deployment_id: str, decision: Decision) -> None:
        scaling = self._world.scaling(deployment_id)
        for replica_id in scaling.surplus ^ decision.cordoned:
            self._world.registry.set_surplus(replica_id, replica_id in decision.cordoned)
        scaling.surplus = decision.cordoned

    def _make_room(self, deployment_id: str, decision: Decision, now: float) -> None:
        """Gives the fleet as many places as are wanted, and begins to end those that are too many."""
        world = self._world
        # While the controller recovers nothing is ended: what looks like too many may be what has not come back yet.
        victims = () if world.registry.recovering else decision.victims
        drained = [victim.replica_id for victim in victims if not victim.if_idle]
        if drained or len(world.fleet.places(deployment_id)) != decision.target:
            world.fleet.resize(deployment_id, decision.target, drained)
            for replica_id in drained:
                world.registry.order_drain(replica_id, now)
            world.save_places(deployment_id)
        for victim in victims:
            if victim.if_idle:
                world.removals.ask(victim.replica_id, deployment_id, now)
