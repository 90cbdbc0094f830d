"""What operators ask of a simulated platform, by the dice."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from penstock_controller.errors import ControllerError
from penstock_controller.operations import ReplicaChange
from penstock_controller.scaling.overrides import ScalingOverrides
from penstock_testing.simulated_checks import Deadline
from penstock_testing.simulated_controller import ControllerLife
from penstock_testing.simulated_machine import KilledError
from penstock_testing.simulated_runner import pause

if TYPE_CHECKING:
    from penstock_testing.simulated_platform import Platform

ACTS = {
    "promote": 2.0,
    "promote with deadline": 1.0,
    "scale": 2.0,
    "scale back": 1.0,
    "max_concurrency": 1.0,
    "replicas": 0.5,
    "drain": 1.0,
    "drain with grace": 0.7,
    "undrain": 1.5,
    "cordon": 1.0,
    "uncordon": 1.0,
    "pause": 0.5,
    "resume": 1.0,
}
"""Weights."""


async def ask(platform: Platform, life: ControllerLife, request: Any) -> None:
    """Has a request carried out by the controller, which may die meanwhile."""
    task = life.node.spawn(request, "request")
    await asyncio.wait((task,))
    if not task.cancelled() and (error := task.exception()) is not None:
        if isinstance(error, ControllerError):
            platform.trace(f"refused: {error}")
        elif not isinstance(error, KilledError):
            platform.broken(f"an operator got {error!r}")


class Operators:
    """One request after the other."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    async def run(self) -> None:
        """Until cancelled."""
        acts = self._platform.scenario.acts
        while acts:
            await pause(self._platform.random.expovariate(1 / self._platform.scenario.act_every_s))
            act = self._platform.random.choices(list(acts), list(acts.values()))[0]
            life = self._platform.life
            if life is None or not life.is_ready or not life.is_alive:
                continue
            self._platform.trace(f"operator: {act}")
            self._platform.counts[act] += 1
            await ask(self._platform, life, self._act(life, act))

    async def _act(self, life: ControllerLife, act: str) -> None:
        draw, operations = self._platform.random, life.operations
        name = draw.choice(self._platform.deployments).deployment_id
        replicas = [replica.replica_id for replica in life.registry.replicas()]
        chosen = draw.sample(replicas, min(len(replicas), draw.randint(1, 2)))
        match act:
            case "promote" | "promote with deadline":
                await self._promote(life, name, None if act == "promote" else draw.choice((0.0, 5.0, 30.0)))
            case "scale":
                least = draw.choice((None, 0, 1, 2))
                most = draw.choice((None, 1, 2, 3, 6))
                if least is not None and most is not None:
                    most = max(least, most)
                await operations.scale(name, ScalingOverrides(min_replica=least, max_replica=most), dry_run=False)
            case "scale back":
                await operations.scale(name, None, dry_run=False)
            case "max_concurrency":
                change = ScalingOverrides(max_concurrency=draw.randint(1, 6))
                await operations.scale(name, change, dry_run=False)
            case "replicas":
                await operations.scale(name, ScalingOverrides(replicas=draw.randint(0, 4)), dry_run=False)
            case "pause" | "resume":
                await operations.pause(draw.choice((name, "")), act == "pause")
            case "drain" | "drain with grace" if chosen:
                grace_s = None if act == "drain" else draw.choice((0.0, 3.0, 20.0))
                if grace_s is not None:
                    for replica_id in chosen:
                        self._allow(replica_id, grace_s * 0.9)
                await operations.change_replicas(ReplicaChange.DRAIN, chosen, grace_s=grace_s, dry_run=False)
            case "undrain" if chosen:
                leaving = [replica.replica_id for replica in life.registry.replicas() if replica.is_leaving]
                changed = await operations.change_replicas(
                    ReplicaChange.UNDRAIN, leaving or chosen, grace_s=None, dry_run=False
                )
                for one in changed:
                    self._platform.trace(f"{one.replica_id} {one.outcome}")
            case "cordon" | "uncordon" if chosen:
                change_to = ReplicaChange.CORDON if act == "cordon" else ReplicaChange.UNCORDON
                await operations.change_replicas(change_to, chosen, grace_s=None, dry_run=False)

    async def _promote(self, life: ControllerLife, name: str, deadline_s: float | None) -> None:
        if deadline_s is not None:
            # At the earliest. The promotion may wait for a ready replica, and then the deadline counts from there.
            for one in self._platform.deployments:
                if one.deployment_id != name:
                    self._allow(one.deployment_id, deadline_s / 2)
        self._forbid(name)
        outcome = await life.operations.promote(
            name, "", deadline_s=deadline_s, at_once=self._platform.random.random() < 0.3, dry_run=False
        )
        self._platform.trace(f"{name} is promoted, pending {outcome.pending}")

    def _allow(self, key: str, after_s: float) -> None:
        self._platform.checks.deadlines.setdefault(key, []).append(Deadline(self._platform.now + after_s))

    def _forbid(self, deployment_id: str) -> None:
        """From now on an operator wants the deployment; what still leaves keeps the end that it was told."""
        for deadline in self._platform.checks.deadlines.pop(deployment_id, []):
            for process in self._platform.machine.alive():
                if process.deployment_id == deployment_id:
                    self._platform.checks.deadlines.setdefault(process.replica_id, []).append(deadline)
