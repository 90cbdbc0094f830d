from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from penstock.api.control.v1 import admin_pb2, admin_pb2_grpc
from penstock_testing.controller_parts import deployment, served_controller


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
            assert parts.world.deployments == {}
            request.deployments[1].environment = "staging"
            answer = await stub.ApplyDeployments(request, timeout=10)
            assert len({d.deployment_id for d in answer.deployments}) == 1

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("request_", "complaint"),
    [
        (admin_pb2.ScaleDeploymentRequest(deployment="echo"), "one of replicas, min_replica"),
        (admin_pb2.ScaleDeploymentRequest(deployment="echo", automatic=True, replicas=1), "automatic: may not stand"),
        (admin_pb2.ScaleDeploymentRequest(deployment="echo", replicas=1, min_replica=1), "replicas: is a fixed number"),
        (admin_pb2.ScaleDeploymentRequest(deployment="echo", max_replica=0), "max_replica: must be 1 to 10,000, got 0"),
        (admin_pb2.ChangeReplicasRequest(replicas=["echo"]), "change: must say what to do"),
        (admin_pb2.ChangeReplicasRequest(change=admin_pb2.REPLICA_CHANGE_DRAIN), "replicas: 1 to 1000"),
        (
            admin_pb2.ChangeReplicasRequest(
                change=admin_pb2.REPLICA_CHANGE_CORDON, replicas=["echo"], grace=Duration(seconds=1)
            ),
            "grace: goes with a drain only",
        ),
        (admin_pb2.CloseStreamsRequest(), "stream_ids: 1 to 10000"),
        (admin_pb2.CloseStreamsRequest(stream_ids=["a"], close_code=1006), "close_code: must be one of 1000, 1001"),
        (admin_pb2.CloseStreamsRequest(stream_ids=["a"], close_code=5000), "close_code"),
        (admin_pb2.CloseStreamsRequest(stream_ids=["a"], reason="x" * 124), "reason: must not be above 123 bytes"),
        (admin_pb2.PromoteDeploymentRequest(deployment="foo"), "no deployment 'foo'; there are: echo"),
    ],
)
def test_bad_request_is_refused_with_what_is_wrong(tmp_path: Path, request_: Message, complaint: str) -> None:
    method = type(request_).__name__.removesuffix("Request")

    async def scenario() -> None:
        async with served_controller(tmp_path) as (parts, address), grpc.aio.insecure_channel(address) as channel:
            await parts.operations.apply([deployment()], prune=True)
            with pytest.raises(grpc.aio.AioRpcError, match=complaint):
                await getattr(admin_pb2_grpc.AdminServiceStub(channel), method)(request_, timeout=10)

    asyncio.run(scenario())


def test_scaling_shows_how_it_was_and_how_it_is(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served_controller(tmp_path) as (parts, address), grpc.aio.insecure_channel(address) as channel:
            await parts.operations.apply([deployment(replicas=2)], prune=True)
            await parts.until(lambda: len(parts.actuator.running) == 2)
            stub = admin_pb2_grpc.AdminServiceStub(channel)
            request = admin_pb2.ScaleDeploymentRequest(deployment="echo", max_replica=3)
            answer = await stub.ScaleDeployment(request, timeout=10)

            assert (answer.deployment_id, answer.before.manual_replicas, answer.before.target_replicas) == (
                "echo-1",
                2,
                2,
            )
            assert not answer.after.HasField("manual_replicas")
            assert answer.after.autoscaling.max_replica == 3

    asyncio.run(scenario())


def test_promotion_says_what_it_replaces(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served_controller(tmp_path) as (parts, address), grpc.aio.insecure_channel(address) as channel:
            await parts.operations.apply([deployment("echo-1")], prune=False)
            await parts.until(lambda: len(parts.actuator.running) == 1)
            parts.attach(next(iter(parts.actuator.running)), active=3)
            await parts.operations.apply([deployment("echo-2", environments=("staging",))], prune=False)
            stub = admin_pb2_grpc.AdminServiceStub(channel)
            answer = await stub.PromoteDeployment(
                admin_pb2.PromoteDeploymentRequest(deployment="echo-2", dry_run=True), timeout=10
            )
            assert (answer.from_deployment_id, answer.to_deployment_id, answer.open_streams) == ("echo-1", "echo-2", 3)
            answer = await stub.PromoteDeployment(admin_pb2.PromoteDeploymentRequest(deployment="echo-2"), timeout=10)
            assert answer.pending
            assert (await stub.GetStatus(admin_pb2.GetStatusRequest(), timeout=10)).deployments[
                1
            ].pending_environment == "production"

    asyncio.run(scenario())


def test_stream_that_no_edge_knows_is_named(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with served_controller(tmp_path) as (_, address), grpc.aio.insecure_channel(address) as channel:
            stub = admin_pb2_grpc.AdminServiceStub(channel)
            answer = await stub.CloseStreams(admin_pb2.CloseStreamsRequest(stream_ids=["a", "a"]), timeout=10)
            assert (list(answer.closed), list(answer.unknown)) == ([], ["a"])

    asyncio.run(scenario())
