"""The calls of AdminService that change something."""

from __future__ import annotations

import asyncio

from penstock.api.control.v1 import admin_pb2
from penstock.close_codes import may_be_sent
from penstock_controller.conversion import autoscaling_to_wire, seconds_of
from penstock_controller.deploying import WantedDeployment, prepare_deployment
from penstock_controller.errors import ControllerError, InvalidRequestError
from penstock_controller.naming import PRODUCTION
from penstock_controller.operations import ReplicaChange
from penstock_controller.records import Deployment
from penstock_controller.scaling.overrides import ScalingOverrides
from penstock_controller.services.artifacts import AdminArtifacts
from penstock_controller.services.chains import AdminChains, created_chain
from penstock_controller.services.deployments import AdminDeployments
from penstock_controller.services.logs import AdminLogs
from penstock_controller.services.reading import STREAMS_MAX, Context
from penstock_controller.services.refusal import refuse

DEPLOYMENTS_MAX = 1000
REPLICAS_MAX = 1000
CHAINS_MAX = 100
"""Deployments, replicas and chains in one request."""

REASON_BYTES_MAX = 123
"""A close frame has no room for more."""

CLOSE_CODE_DEFAULT = 1012
CLOSE_CODES = frozenset({1000, 1001, 1008, 1011, 1012, 1013})
"""Codes below 3000 with which an operator may end a stream: the others state what did not happen."""

_CHANGES = {
    admin_pb2.REPLICA_CHANGE_CORDON: ReplicaChange.CORDON,
    admin_pb2.REPLICA_CHANGE_UNCORDON: ReplicaChange.UNCORDON,
    admin_pb2.REPLICA_CHANGE_DRAIN: ReplicaChange.DRAIN,
    admin_pb2.REPLICA_CHANGE_UNDRAIN: ReplicaChange.UNDRAIN,
}


class Admin(AdminArtifacts, AdminChains, AdminDeployments, AdminLogs):
    """All of AdminService."""

    async def ApplyDeployments(
        self, request: admin_pb2.ApplyDeploymentsRequest, context: Context
    ) -> admin_pb2.ApplyDeploymentsResponse:
        try:
            if len(request.deployments) > DEPLOYMENTS_MAX:
                raise InvalidRequestError(f"deployments: at most {DEPLOYMENTS_MAX} may be given")
            if len(request.chains) > CHAINS_MAX:
                raise InvalidRequestError(f"chains: at most {CHAINS_MAX} may be given")
            deployments = [await self._prepare(spec) for spec in request.deployments]
            chains = [await self._prepare_chain(spec, spec.environment or PRODUCTION) for spec in request.chains]
            _refuse_conflicts([*deployments, *(chain.entrypoint for chain in chains)])
            existed = await self._parts.reconciler.operations.apply(deployments, prune=request.prune, chains=chains)
        except ControllerError as error:
            await refuse(context, error)
        return admin_pb2.ApplyDeploymentsResponse(
            deployments=[admin_pb2.AppliedDeployment(name=d.name, deployment_id=d.deployment_id) for d in deployments],
            chains=[
                created_chain(chain, chain.entrypoint.environments[0], existed=was_there)
                for chain, was_there in zip(chains, existed, strict=True)
            ],
        )

    async def StopReplicas(
        self, request: admin_pb2.StopReplicasRequest, context: Context
    ) -> admin_pb2.StopReplicasResponse:
        stopped, cut_streams = await self._parts.reconciler.operations.stop_all(seconds_of(request.grace))
        return admin_pb2.StopReplicasResponse(stopped=stopped, cut_streams=cut_streams)

    async def ScaleDeployment(
        self, request: admin_pb2.ScaleDeploymentRequest, context: Context
    ) -> admin_pb2.ScaleDeploymentResponse:
        try:
            before, after = await self._parts.reconciler.operations.scale(
                request.deployment, _scale_change(request), dry_run=request.dry_run
            )
        except ControllerError as error:
            await refuse(context, error)
        return admin_pb2.ScaleDeploymentResponse(
            deployment_id=after.deployment_id, before=self._scaling_state(before), after=self._scaling_state(after)
        )

    async def PauseScaling(
        self, request: admin_pb2.PauseScalingRequest, context: Context
    ) -> admin_pb2.PauseScalingResponse:
        try:
            paused = await self._parts.reconciler.operations.pause(request.deployment, request.pause)
        except ControllerError as error:
            await refuse(context, error)
        return admin_pb2.PauseScalingResponse(paused=paused)

    async def ChangeReplicas(
        self, request: admin_pb2.ChangeReplicasRequest, context: Context
    ) -> admin_pb2.ChangeReplicasResponse:
        try:
            change = _CHANGES.get(request.change)
            if change is None:
                raise InvalidRequestError("change: must say what to do")
            if not 1 <= len(request.replicas) <= REPLICAS_MAX:
                raise InvalidRequestError(f"replicas: 1 to {REPLICAS_MAX} must be given")
            if request.HasField("grace") and change is not ReplicaChange.DRAIN:
                raise InvalidRequestError("grace: goes with a drain only")
            changed = await self._parts.reconciler.operations.change_replicas(
                change,
                request.replicas,
                grace_s=seconds_of(request.grace) if request.HasField("grace") else None,
                dry_run=request.dry_run,
            )
        except ControllerError as error:
            await refuse(context, error)
        return admin_pb2.ChangeReplicasResponse(
            replicas=[
                admin_pb2.ChangedReplica(
                    replica_id=r.replica_id,
                    deployment_id=r.deployment_id,
                    active_streams=r.active_streams,
                    outcome=r.outcome,
                )
                for r in changed
            ]
        )

    async def PromoteDeployment(
        self, request: admin_pb2.PromoteDeploymentRequest, context: Context
    ) -> admin_pb2.PromoteDeploymentResponse:
        try:
            outcome = await self._parts.reconciler.operations.promote(
                request.deployment,
                request.environment,
                deadline_s=seconds_of(request.deadline) if request.HasField("deadline") else None,
                at_once=request.at_once,
                dry_run=request.dry_run,
            )
        except ControllerError as error:
            await refuse(context, error)
        return admin_pb2.PromoteDeploymentResponse(
            name=outcome.name,
            environment=outcome.environment,
            to_deployment_id=outcome.to_deployment_id,
            from_deployment_id=outcome.from_deployment_id,
            open_streams=outcome.open_streams,
            pending=outcome.pending,
            chainlets=outcome.chainlets,
        )

    async def CloseStreams(
        self, request: admin_pb2.CloseStreamsRequest, context: Context
    ) -> admin_pb2.CloseStreamsResponse:
        close_code = request.close_code or CLOSE_CODE_DEFAULT
        try:
            _check_close(request, close_code)
        except ControllerError as error:
            await refuse(context, error)
        wanted = dict.fromkeys(request.stream_ids)
        answers = await self._parts.queries.end_streams(list(wanted), close_code, request.reason)
        closed = {stream_id for answer in answers.by_edge.values() for stream_id in answer.stream_ids}
        if closed:
            self._parts.reconciler.world.event("streams_closed", f"{len(closed)} by an operator, code {close_code}")
        return admin_pb2.CloseStreamsResponse(
            closed=[stream_id for stream_id in wanted if stream_id in closed],
            unknown=[stream_id for stream_id in wanted if stream_id not in closed],
            silent_edges=answers.silent,
        )

    def _scaling_state(self, deployment: Deployment) -> admin_pb2.ScalingState:
        return admin_pb2.ScalingState(
            autoscaling=autoscaling_to_wire(deployment),
            manual_replicas=deployment.overrides.replicas,
            target_replicas=self._parts.reconciler.world.scaling(deployment.deployment_id).state.target,
        )

    async def _prepare(self, spec: admin_pb2.DeploymentSpec) -> Deployment:
        replicas = spec.replicas if spec.HasField("replicas") else None
        wanted = WantedDeployment(spec.name, spec.source, replicas, spec.environment or PRODUCTION)
        return await asyncio.to_thread(prepare_deployment, wanted, now_wall=self._parts.wall())


def _scale_change(request: admin_pb2.ScaleDeploymentRequest) -> ScalingOverrides | None:
    keys = ("replicas", "min_replica", "max_replica", "max_concurrency")
    given = {key: getattr(request, key) for key in keys if request.HasField(key)}  # type: ignore[arg-type]  # names
    if request.automatic:
        if given:
            raise InvalidRequestError("automatic: may not stand beside other values")
        return None
    if not given:
        raise InvalidRequestError(f"one of {', '.join(keys)} or automatic must be given")
    if "replicas" in given and ("min_replica" in given or "max_replica" in given):
        raise InvalidRequestError("replicas: is a fixed number; min_replica and max_replica do not go with it")
    return ScalingOverrides(**given)


def _check_close(request: admin_pb2.CloseStreamsRequest, close_code: int) -> None:
    if not 1 <= len(request.stream_ids) <= STREAMS_MAX:
        raise InvalidRequestError(f"stream_ids: 1 to {STREAMS_MAX} must be given")
    if close_code not in CLOSE_CODES and not (close_code >= 3000 and may_be_sent(close_code)):
        codes = ", ".join(map(str, sorted(CLOSE_CODES)))
        raise InvalidRequestError(f"close_code: must be one of {codes} or 3000 to 4999, got {close_code}")
    if len(request.reason.encode()) > REASON_BYTES_MAX:
        raise InvalidRequestError(f"reason: must not be above {REASON_BYTES_MAX} bytes of UTF-8")


def _refuse_conflicts(deployments: list[Deployment]) -> None:
    seen: dict[tuple[str, str], Deployment] = {}
    for deployment in deployments:
        for environment in deployment.environments:
            other = seen.setdefault((deployment.name, environment), deployment)
            if other is not deployment:
                where = "model_name in its config.yaml, or the name of the chain"
                raise InvalidRequestError(
                    f"name: {other.source} and {deployment.source} are both named {deployment.name!r}; "
                    f"give one another name ({where})"
                )
