"""The calls of AdminService that change nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from penstock.api.control.v1 import admin_pb2, admin_pb2_grpc, load_pb2
from penstock_controller.artifacts import ArtifactStore
from penstock_controller.conversion import autoscaling_to_wire, decision_to_wire, duration, event_to_wire, timestamp
from penstock_controller.edge_queries import EdgeQueries
from penstock_controller.errors import ControllerError
from penstock_controller.naming import find_deployment, find_replicas
from penstock_controller.reconciler import Reconciler
from penstock_controller.records import Deployment, ReplicaState, ScaleDecision
from penstock_controller.replica_view import ReplicaFacts
from penstock_controller.services.refusal import refuse
from penstock_controller.status_view import (
    ControllerFacts,
    DeploymentScaling,
    StatusInputs,
    build_status,
    deployment_status,
)

STREAMS_MAX = 10_000
EVENTS_MAX = 10_000
LIST_DEFAULT = 1000
"""Rows of a list when no limit is given."""

EVENTS_PER_MESSAGE = 500

WATCH_LOOK_S = 5.0
"""Longest sleep of a watcher between two looks, should a change not ring."""

RECORD_INTERVAL_S = 0.1
"""Least time between two messages of a recording."""

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class AdminParts:
    """What the calls work on."""

    reconciler: Reconciler
    queries: EdgeQueries
    facts: ControllerFacts
    clock: Callable[[], float]
    wall: Callable[[], float]
    artifacts: ArtifactStore

    @property
    def log_dir(self) -> Path:
        return Path(self.facts.state_dir) / "logs"

    def deployment(self, name: str) -> Deployment:
        """Raises ControllerError when it is not clear which is meant."""
        return find_deployment(name, self.reconciler.world.deployments.values())

    def deployment_id(self, name: str) -> str:
        """The id of the one that is meant; empty for an empty name."""
        return self.deployment(name).deployment_id if name else ""

    async def status_inputs(self) -> StatusInputs:
        world = self.reconciler.world
        gpus = {process.replica_id: process.gpus for process in await world.actuator.list()}

        def facts_of(replica_id: str) -> ReplicaFacts:
            return ReplicaFacts(world.actuator.log_path(replica_id), gpus.get(replica_id, ""))

        scaling = {}
        for deployment in world.deployments.values():
            known = world.scaling(deployment.deployment_id)
            # Looked at anew: what blocks names the seconds that are left.
            blocked = self.reconciler.scaler.preview(deployment, self.clock()).reason.blocked
            scaling[deployment.deployment_id] = DeploymentScaling(
                known.state.target, known.last_change, blocked, known.initial
            )
        return StatusInputs(
            facts=self.facts,
            registry=world.registry,
            fleet=world.fleet,
            deployments=list(world.deployments.values()),
            scaling=scaling,
            facts_of=facts_of,
            promotions=world.promotions,
            all_paused=world.all_paused,
            reloading={d for d in world.deployments if world.reloads.is_under_way(d)},
            snapshot_built_at=self.reconciler.publisher.built_at,
        )


class AdminReads(admin_pb2_grpc.AdminServiceServicer):
    """Status, explanations, streams, events and recordings."""

    def __init__(self, parts: AdminParts) -> None:
        self._parts = parts
        self._is_ending = False

    def close(self) -> None:
        """Ends the calls that watch."""
        self._is_ending = True
        world = self._parts.reconciler.world
        world.changes.ring()
        world.store.journal.written.ring()

    async def GetStatus(self, request: admin_pb2.GetStatusRequest, context: Context) -> admin_pb2.GetStatusResponse:
        inputs = await self._parts.status_inputs()
        return build_status(inputs, now=self._parts.clock(), now_wall=self._parts.wall())

    async def ExplainDeployment(
        self, request: admin_pb2.ExplainDeploymentRequest, context: Context
    ) -> admin_pb2.ExplainDeploymentResponse:
        parts, world = self._parts, self._parts.reconciler.world
        try:
            deployment = parts.deployment(request.deployment)
        except ControllerError as error:
            await refuse(context, error)
        inputs, now, now_wall = await parts.status_inputs(), parts.clock(), parts.wall()
        deployment_id = deployment.deployment_id
        views = build_status(inputs, now=now, now_wall=now_wall).replicas
        own = [view for view in views if view.deployment_id == deployment_id]
        scaling = world.scaling(deployment_id)
        again_at = scaling.look_again_at
        seen = parts.reconciler.scaler.preview(deployment, now)
        look = ScaleDecision(
            seen.reason.rule, seen.reason.text, now_wall, scaling.state.target, seen.target, dict(seen.inputs)
        )
        return admin_pb2.ExplainDeploymentResponse(
            deployment=deployment_status(deployment, inputs, own, now, now_wall),
            replicas=own,
            now=decision_to_wire(look),
            history=[decision_to_wire(decision) for decision in world.store.decisions(deployment_id)],
            next_look=None if again_at is None else duration(max(0.0, again_at - now)),
        )

    async def ListStreams(
        self, request: admin_pb2.ListStreamsRequest, context: Context
    ) -> admin_pb2.ListStreamsResponse:
        parts, world = self._parts, self._parts.reconciler.world
        limit = min(request.limit or LIST_DEFAULT, STREAMS_MAX)
        try:
            deployment_id = parts.deployment_id(request.deployment)
            replica_id = ""
            if request.replica:
                owners = {r.replica_id: r.deployment_id for r in world.registry.replicas()}
                replica_id = find_replicas(request.replica, owners, ())[0]
        except ControllerError as error:
            await refuse(context, error)
        answers = await parts.queries.list_streams(deployment_id=deployment_id, replica_id=replica_id, limit=limit)
        streams = [stream for answer in answers.by_edge.values() for stream in answer.streams]
        streams.sort(key=lambda stream: -(stream.age.seconds + stream.age.nanos / 1e9))
        return admin_pb2.ListStreamsResponse(
            streams=streams[:limit],
            matching=sum(answer.matching for answer in answers.by_edge.values()),
            silent_edges=answers.silent,
        )

    async def ListEvents(self, request: admin_pb2.ListEventsRequest, context: Context) -> admin_pb2.ListEventsResponse:
        limit = min(request.limit or LIST_DEFAULT, EVENTS_MAX)
        try:
            deployment_id = self._parts.deployment_id(request.deployment) or None
        except ControllerError as error:
            await refuse(context, error)
        journal = self._parts.reconciler.world.store.journal
        events = journal.newest_events(request.after_sequence, limit=limit, deployment_id=deployment_id)
        return admin_pb2.ListEventsResponse(events=[event_to_wire(event) for event in events])

    async def WatchEvents(  # type: ignore[override]  # a coroutine that writes; see RunnerRegistry.Attach
        self, request: admin_pb2.WatchEventsRequest, context: Context
    ) -> None:
        try:
            deployment_id = self._parts.deployment_id(request.deployment) or None
        except ControllerError as error:
            await refuse(context, error)
        journal = self._parts.reconciler.world.store.journal
        seen = request.after_sequence or journal.newest
        while not self._is_ending:
            events = journal.after(seen, limit=EVENTS_PER_MESSAGE, deployment_id=deployment_id)
            if events:
                seen = events[-1].sequence
                await context.write(admin_pb2.WatchEventsResponse(events=[event_to_wire(e) for e in events]))
            else:
                await journal.written.wait(WATCH_LOOK_S)

    async def RecordLoad(  # type: ignore[override]  # a coroutine that writes; see RunnerRegistry.Attach
        self, request: load_pb2.RecordLoadRequest, context: Context
    ) -> None:
        parts, world = self._parts, self._parts.reconciler.world
        try:
            deployment_id = parts.deployment_id(request.deployment)
        except ControllerError as error:
            await refuse(context, error)
        told: dict[str, load_pb2.DeploymentLoad] = {}
        cold_starts = world.load.cold_start_count
        is_first = True
        while not self._is_ending:
            if is_first and world.registry.recovering:
                # Counts would begin too low, and rise without a stream.
                await world.changes.wait(RECORD_INTERVAL_S)
                continue
            newest = world.load.cold_start_count
            loads = [
                _load(parts, deployment, cold_starts)
                for deployment in world.deployments.values()
                if deployment_id in ("", deployment.deployment_id)
            ]
            cold_starts = newest
            changed = [load for load in loads if told.get(load.deployment_id) != load]
            if changed or is_first:
                is_first = False
                told = {load.deployment_id: load for load in loads}
                await context.write(load_pb2.RecordLoadResponse(at=timestamp(parts.wall()), loads=changed))
            # In this order: what rings during the sleep is seen by the look that follows.
            await world.changes.wait(WATCH_LOOK_S)
            await asyncio.sleep(RECORD_INTERVAL_S)


def _load(parts: AdminParts, deployment: Deployment, cold_starts_after: int) -> load_pb2.DeploymentLoad:
    world = parts.reconciler.world
    deployment_id = deployment.deployment_id
    own = [r for r in world.registry.replicas() if r.deployment_id == deployment_id]
    demands = world.registry.edges.demands(deployment_id, parts.clock())
    return load_pb2.DeploymentLoad(
        deployment_id=deployment_id,
        name=deployment.name,
        active_streams=sum(r.active_streams for r in own),
        waiting_streams=sum(d.waiting for d in demands),
        admitted_total=world.load.admitted_total(deployment_id),
        refused_total=sum(d.refused_total for d in demands),
        ready_replicas=sum(r.state is ReplicaState.READY for r in own),
        starting_replicas=sum(r.state is ReplicaState.STARTING for r in own),
        cold_starts=[duration(s) for s in world.load.cold_starts(deployment_id, cold_starts_after)],
        autoscaling=autoscaling_to_wire(deployment),
    )
