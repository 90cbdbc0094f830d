"""Asks the controller's AdminService."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration

from penstock.api.control.v1 import admin_pb2, admin_pb2_grpc, chain_pb2, control_pb2
from penstock.cli.up.observation import Deployment, Edge, Observation, Phase, Replica
from penstock.cli.up.readiness import Wanted

PRODUCTION = "production"
CALL_TIMEOUT_S = 5.0
APPLY_TIMEOUT_S = 120.0
"""Deployments are hashed when they are applied, and weights may lie in their folders."""
RELOAD_TIMEOUT_S = 45.0
"""The controller waits 30 s for its replicas."""
STOP_SLACK_S = 15.0
"""Time for runners to end after the grace of their streams."""

_OPTIONS = (
    # The controller may be restarting: find it again soon.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.enable_http_proxy", 0),
)

_PHASES = {
    control_pb2.REPLICA_STATE_READY: Phase.READY,
    control_pb2.REPLICA_STATE_DRAINING: Phase.DRAINING,
    control_pb2.REPLICA_STATE_FAILED: Phase.FAILED,
    control_pb2.REPLICA_STATE_LOST: Phase.LOST,
}


@dataclass(frozen=True, slots=True)
class ReloadOutcome:
    """What became of one replica that was to take over new code."""

    replica_id: str
    is_done: bool
    message: str = ""
    """Why not."""
    needs_restart: bool = False
    """The new code cannot take over what is loaded."""


@dataclass(frozen=True, slots=True)
class Created:
    """A deployment that was created, or was there."""

    deployment_id: str
    existed: bool


@dataclass(frozen=True, slots=True)
class ChainVersion:
    """A version of a chain that was created, or was there."""

    name: str
    chain_id: str
    existed: bool
    chainlets: tuple[tuple[str, str], ...]
    """Display names with the ids of their deployments."""
    entrypoint_id: str

    def wanted(self, replicas: int) -> tuple[Wanted, ...]:
        """Returns its deployments, each of which is to have so many replicas."""
        return tuple(
            Wanted(self.name if found == self.entrypoint_id else f"{self.name}.{name}", found, replicas)
            for name, found in self.chainlets
        )


@dataclass(frozen=True, slots=True)
class Applied:
    """What the controller runs now."""

    models: tuple[Wanted, ...]
    chains: tuple[ChainVersion, ...] = ()
    replicas: int = 1
    """Of each deployment that are waited for."""

    @property
    def wanted(self) -> tuple[Wanted, ...]:
        return (*self.models, *(item for version in self.chains for item in version.wanted(self.replicas)))


class AdminError(Exception):
    """The controller did not do what it was asked; the message is for people."""


class Admin:
    """Client of one controller. Its address stays the same when the controller is started again."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._channel = grpc.aio.insecure_channel(address, options=_OPTIONS)
        self._stub = admin_pb2_grpc.AdminServiceStub(self._channel)

    async def observe(self) -> Observation | None:
        """Returns the state of everything; None when the controller does not answer now."""
        try:
            response = await self._stub.GetStatus(admin_pb2.GetStatusRequest(), timeout=CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as exc:
            if exc.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                return None
            raise AdminError(f"the controller refused GetStatus: {exc.details()}") from None
        return _observation(response)

    async def apply(
        self, directories: Sequence[Path], replicas: int | None, chains: Sequence[chain_pb2.ChainSpec] = ()
    ) -> Applied:
        """Makes these deployments, and no others, what the controller runs.

        Args:
            replicas: of each deployment; None has them scaled by load, as their config.yaml says, from one on.

        Raises:
            AdminError: the controller refused, or did not answer in time.
        """
        request = admin_pb2.ApplyDeploymentsRequest(
            deployments=[admin_pb2.DeploymentSpec(source=str(path), replicas=replicas) for path in directories],
            chains=chains,
            prune=True,
        )
        try:
            response = await self._stub.ApplyDeployments(request, timeout=APPLY_TIMEOUT_S, wait_for_ready=True)
        except grpc.aio.AioRpcError as exc:
            raise AdminError(f"the controller refused the deployments: {exc.details()}") from None
        count = 1 if replicas is None else replicas
        return Applied(
            models=tuple(Wanted(item.name, item.deployment_id, count) for item in response.deployments),
            chains=tuple(_version(item) for item in response.chains),
            replicas=count,
        )

    async def create(self, directory: Path, replicas: int | None) -> Created:
        """Creates a deployment that production points to as soon as it is ready; until then nothing changes.

        Raises:
            AdminError: the controller refused, or did not answer in time.
        """
        request = admin_pb2.CreateDeploymentRequest(source=str(directory), environment=PRODUCTION, replicas=replicas)
        response = await self._ask(self._stub.CreateDeployment, request, APPLY_TIMEOUT_S)
        return Created(response.deployment_id, response.existed)

    async def create_chain(self, spec: chain_pb2.ChainSpec) -> ChainVersion:
        """Creates a version of a chain; its environment points to it as soon as all of it is ready.

        Raises:
            AdminError: the controller refused, or did not answer in time.
        """
        request = chain_pb2.CreateChainRequest(chain=spec)
        response = await self._ask(self._stub.CreateChain, request, APPLY_TIMEOUT_S)
        return _version(response.chain)

    async def reload(self, deployment_id: str) -> tuple[ReloadOutcome, ...]:
        """Has every ready replica import its code anew.

        Raises:
            AdminError: the controller refused, or did not answer in time.
        """
        request = admin_pb2.ReloadDeploymentRequest(deployment=deployment_id)
        response = await self._ask(self._stub.ReloadDeployment, request, RELOAD_TIMEOUT_S)
        return tuple(
            ReloadOutcome(item.replica_id, item.reloaded, item.message, item.needs_restart)
            for item in response.replicas
        )

    async def set_replicas(self, deployment_id: str, replicas: int | None) -> None:
        """Fixes the number of replicas, or (None) has the deployment scaled by load. Cuts no stream.

        Raises:
            AdminError: the controller refused, or did not answer in time.
        """
        request = admin_pb2.ScaleDeploymentRequest(
            deployment=deployment_id, replicas=replicas, automatic=replicas is None
        )
        await self._ask(self._stub.ScaleDeployment, request, CALL_TIMEOUT_S)

    async def keep(self, deployment_id: str, environment: str = PRODUCTION) -> None:
        """Has an environment stay with a deployment, and no longer wait for another one.

        Raises:
            AdminError: the controller refused, or did not answer in time.
        """
        request = admin_pb2.PromoteDeploymentRequest(deployment=deployment_id, environment=environment, at_once=True)
        await self._ask(self._stub.PromoteDeployment, request, CALL_TIMEOUT_S)

    async def renew(self, deployment_id: str) -> None:
        """Drains every replica of a deployment, so that others take their places. Open streams finish.

        Raises:
            AdminError: the controller refused, or did not answer in time.
        """
        request = admin_pb2.ChangeReplicasRequest(change=admin_pb2.REPLICA_CHANGE_DRAIN, replicas=[deployment_id])
        await self._ask(self._stub.ChangeReplicas, request, CALL_TIMEOUT_S)

    async def stop_replicas(self, grace_s: float) -> int:
        """Ends every replica; returns how many streams were cut.

        Raises:
            AdminError: the controller did not answer in time.
        """
        grace = Duration()
        grace.FromNanoseconds(int(grace_s * 1e9))
        try:
            response = await self._stub.StopReplicas(
                admin_pb2.StopReplicasRequest(grace=grace), timeout=grace_s + STOP_SLACK_S
            )
        except grpc.aio.AioRpcError as exc:
            raise AdminError(f"the controller did not stop the replicas: {exc.details()}") from None
        return response.cut_streams

    async def _ask(self, call: Callable[..., Awaitable[Any]], request: Any, timeout_s: float) -> Any:
        try:
            return await call(request, timeout=timeout_s, wait_for_ready=True)
        except grpc.aio.AioRpcError as exc:
            raise AdminError(f"the controller refused: {exc.details()}") from None

    async def close(self) -> None:
        await self._channel.close()


def _version(created: chain_pb2.CreatedChain) -> ChainVersion:
    return ChainVersion(
        name=created.name,
        chain_id=created.chain_id,
        existed=created.existed,
        chainlets=tuple((each.name, each.deployment_id) for each in created.chainlets),
        entrypoint_id=next(each.deployment_id for each in created.chainlets if each.is_entrypoint),
    )


def _observation(response: admin_pb2.GetStatusResponse) -> Observation:
    return Observation(
        epoch=response.controller.epoch,
        snapshot_version=response.controller.snapshot_version,
        deployments=tuple(
            Deployment(
                name=item.name,
                deployment_id=item.deployment_id,
                ready=item.ready_replicas,
                starting=item.starting_replicas,
                draining=item.draining_replicas,
                failed=item.failed_replicas,
                active_streams=item.active_streams,
                message=item.message,
                phase=item.phase,
                blocked=item.blocked,
                environments=tuple(item.environments),
                endpoints=tuple(item.endpoints),
                build_log_path=item.build_log_path,
            )
            for item in response.deployments
        ),
        replicas=tuple(
            Replica(
                replica_id=item.replica_id,
                deployment_id=item.deployment_id,
                phase=_PHASES.get(item.state, Phase.STARTING),
                pid=item.pid,
                log_path=item.log_path,
                message=item.message,
            )
            for item in response.replicas
        ),
        edges=tuple(
            Edge(
                pid=item.pid,
                http_address=item.http_address,
                grpc_address=item.grpc_address,
                snapshot_epoch=item.snapshot_epoch,
                snapshot_version=item.snapshot_version,
            )
            for item in response.edges
            if not item.draining
        ),
    )
