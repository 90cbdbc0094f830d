"""The calls of AdminService on single deployments: create one, reload the code of one."""

from __future__ import annotations

import asyncio

from penstock.api.control.v1 import admin_pb2
from penstock_controller.deploying import WantedDeployment, prepare_deployment
from penstock_controller.errors import ControllerError, InvalidRequestError
from penstock_controller.identifiers import check_name
from penstock_controller.records import Deployment, ReplicaState
from penstock_controller.services.reading import AdminReads, Context
from penstock_controller.services.refusal import refuse


class AdminDeployments(AdminReads):
    """CreateDeployment and ReloadDeployment."""

    async def CreateDeployment(
        self, request: admin_pb2.CreateDeploymentRequest, context: Context
    ) -> admin_pb2.CreateDeploymentResponse:
        try:
            if request.environment:
                check_name("environment", request.environment)
            wanted = await self._wanted(request)
            created = await self._parts.reconciler.creations.create(wanted, request.environment)
        except ControllerError as error:
            await refuse(context, error)
        return admin_pb2.CreateDeploymentResponse(
            name=created.name,
            deployment_id=created.deployment_id,
            environment=created.environment,
            existed=created.existed,
        )

    async def ReloadDeployment(
        self, request: admin_pb2.ReloadDeploymentRequest, context: Context
    ) -> admin_pb2.ReloadDeploymentResponse:
        world = self._parts.reconciler.world
        try:
            deployment_id = self._parts.deployment(request.deployment).deployment_id
        except ControllerError as error:
            await refuse(context, error)
        replicas = [
            r.replica_id
            for r in world.registry.replicas()
            if r.deployment_id == deployment_id and r.state is ReplicaState.READY
        ]
        outcomes = await world.reloads.ask(deployment_id, sorted(replicas))
        done = sum(outcome.reloaded for outcome in outcomes)
        problems = "".join(f"; {o.replica_id}: {o.message}" for o in outcomes if not o.reloaded)
        world.event("deployment_reloaded", f"{done} of {len(outcomes)} ready replicas{problems}", deployment_id)
        return admin_pb2.ReloadDeploymentResponse(
            deployment_id=deployment_id,
            replicas=[
                admin_pb2.ReloadedReplica(
                    replica_id=o.replica_id, reloaded=o.reloaded, message=o.message, needs_restart=o.needs_restart
                )
                for o in outcomes
            ],
        )

    async def _wanted(self, request: admin_pb2.CreateDeploymentRequest) -> Deployment:
        if bool(request.artifact) == bool(request.source):
            raise InvalidRequestError("artifact, source: exactly one of them must be given")
        source = request.source
        if request.artifact:
            source = str(self._parts.artifacts.path(request.artifact))
        replicas = request.replicas if request.HasField("replicas") else None
        wanted = WantedDeployment(request.name, source, replicas, "", request.artifact)
        return await asyncio.to_thread(prepare_deployment, wanted, now_wall=self._parts.wall())
