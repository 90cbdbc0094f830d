"""AdminService: what operators and `penstock up` ask for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc

from penstock.api.control.v1 import admin_pb2, admin_pb2_grpc
from penstock_controller.conversion import seconds_of
from penstock_controller.deploying import WantedDeployment, prepare_deployment
from penstock_controller.errors import ControllerError, InvalidRequestError
from penstock_controller.reconciler import Reconciler
from penstock_controller.records import Deployment
from penstock_controller.services.refusal import refuse
from penstock_controller.status_view import ControllerFacts, StatusInputs, build_status

DEPLOYMENTS_MAX = 1000
"""Deployments in one request."""


class Admin(admin_pb2_grpc.AdminServiceServicer):
    """Reads and changes what the reconciler works towards."""

    def __init__(
        self,
        reconciler: Reconciler,
        facts: ControllerFacts,
        *,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self._reconciler = reconciler
        self._facts = facts
        self._clock = clock
        self._wall = wall

    async def GetStatus(
        self, request: admin_pb2.GetStatusRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> admin_pb2.GetStatusResponse:
        reconciler = self._reconciler
        inputs = StatusInputs(
            facts=self._facts,
            registry=reconciler.registry,
            fleet=reconciler.fleet,
            deployments=reconciler.deployments,
            targets=reconciler.targets,
            decisions=reconciler.decisions,
            log_path=reconciler.actuator.log_path,
        )
        return build_status(inputs, now=self._clock(), now_wall=self._wall())

    async def ApplyDeployments(
        self, request: admin_pb2.ApplyDeploymentsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> admin_pb2.ApplyDeploymentsResponse:
        try:
            if len(request.deployments) > DEPLOYMENTS_MAX:
                raise InvalidRequestError(f"deployments: at most {DEPLOYMENTS_MAX} may be given")
            deployments = [await self._prepare(spec) for spec in request.deployments]
            _refuse_conflicts(deployments)
            await self._reconciler.apply(deployments, prune=request.prune)
        except ControllerError as error:
            await refuse(context, error)
        return admin_pb2.ApplyDeploymentsResponse(
            deployments=[admin_pb2.AppliedDeployment(name=d.name, deployment_id=d.deployment_id) for d in deployments]
        )

    async def StopReplicas(
        self, request: admin_pb2.StopReplicasRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> admin_pb2.StopReplicasResponse:
        stopped, cut_streams = await self._reconciler.stop_all(seconds_of(request.grace))
        return admin_pb2.StopReplicasResponse(stopped=stopped, cut_streams=cut_streams)

    async def _prepare(self, spec: admin_pb2.DeploymentSpec) -> Deployment:
        wanted = WantedDeployment(spec.name, spec.source, spec.replicas, spec.environment)
        return await asyncio.to_thread(prepare_deployment, wanted, now_wall=self._wall())


def _refuse_conflicts(deployments: list[Deployment]) -> None:
    seen: dict[tuple[str, str], Deployment] = {}
    for deployment in deployments:
        for environment in deployment.environments:
            other = seen.setdefault((deployment.name, environment), deployment)
            if other is not deployment:
                raise InvalidRequestError(
                    f"name: {other.source} and {deployment.source} are both named {deployment.name!r}; "
                    "give one another name (model_name in its config.yaml)"
                )
