from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest

from penstock.api.control.v1 import admin_pb2, admin_pb2_grpc
from penstock_testing.controller_parts import served_controller


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.yaml").write_text("model_name: echo\n")
    return folder


def spec(model: Path, **changes: object) -> admin_pb2.DeploymentSpec:
    return admin_pb2.DeploymentSpec(**{"source": str(model), "replicas": 2, **changes})  # type: ignore[arg-type]  # fields by name


def test_applied_deployment_is_shown_and_its_replicas_start_and_stop(tmp_path: Path, model: Path) -> None:
    async def scenario() -> None:
        async with served_controller(tmp_path) as (parts, address), grpc.aio.insecure_channel(address) as channel:
            stub = admin_pb2_grpc.AdminServiceStub(channel)
            applied = await stub.ApplyDeployments(
                admin_pb2.ApplyDeploymentsRequest(deployments=[spec(model)]), timeout=10
            )
            await parts.until(lambda: len(parts.actuator.running) == 2)

            status = await stub.GetStatus(admin_pb2.GetStatusRequest(), timeout=10)
            assert [d.deployment_id for d in status.deployments] == [applied.deployments[0].deployment_id]
            assert {r.pid for r in status.replicas} == {100, 101}
            stopped = await stub.StopReplicas(admin_pb2.StopReplicasRequest(), timeout=10)
            assert (stopped.stopped, stopped.cut_streams) == (2, 0)
            assert parts.actuator.running == {}

    asyncio.run(scenario())


def test_two_models_of_one_name_are_refused(tmp_path: Path, model: Path) -> None:
    async def scenario() -> None:
        async with served_controller(tmp_path) as (parts, address), grpc.aio.insecure_channel(address) as channel:
            stub = admin_pb2_grpc.AdminServiceStub(channel)
            request = admin_pb2.ApplyDeploymentsRequest(deployments=[spec(model), spec(model, replicas=1)])
            with pytest.raises(grpc.aio.AioRpcError, match="both named 'echo'"):
                await stub.ApplyDeployments(request, timeout=10)
            assert parts.reconciler.deployments == []
            request.deployments[1].environment = "staging"
            answer = await stub.ApplyDeployments(request, timeout=10)
            assert len({d.deployment_id for d in answer.deployments}) == 1

    asyncio.run(scenario())
