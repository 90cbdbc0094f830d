from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import grpc
import pytest

from penstock.api.control.v1 import admin_pb2, chain_pb2, control_pb2
from penstock_testing.controller_parts import ControllerParts

Served = Callable[[], AbstractAsyncContextManager[tuple[ControllerParts, Any]]]


@pytest.fixture
def chain(tmp_path: Path) -> chain_pb2.ChainSpec:
    """An entrypoint that calls one chainlet."""
    for name in ("say", "rand"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text(f"model_name: {name}\n")
    return chain_pb2.ChainSpec(
        name="hello",
        chainlets=[
            chain_pb2.ChainletSpec(name="Rand", source=str(tmp_path / "rand")),
            chain_pb2.ChainletSpec(name="Say", source=str(tmp_path / "say"), is_entrypoint=True, dependencies=["Rand"]),
        ],
    )


def run(served_state: Served, scenario: Callable[[ControllerParts, Any], Any]) -> None:
    async def main() -> None:
        async with served_state() as (parts, stub):
            await scenario(parts, stub)

    asyncio.run(main())


def test_a_chain_is_created_as_a_whole_and_found_again(served_state: Served, chain: chain_pb2.ChainSpec) -> None:
    async def scenario(parts: ControllerParts, stub: Any) -> None:
        made = (await stub.CreateChain(chain_pb2.CreateChainRequest(chain=chain))).chain
        assert (made.name, made.environment, made.existed) == ("hello", "production", False)
        rand, say = made.chainlets
        assert (rand.name, rand.is_entrypoint, say.name, say.is_entrypoint) == ("Rand", False, "Say", True)
        assert say.deployment_id == made.chain_id
        assert rand.deployment_id == made.chain_id.replace("hello", "hello.Rand")
        await parts.until(lambda: len(parts.actuator.running) == 2)

        again = (await stub.CreateChain(chain_pb2.CreateChainRequest(chain=chain))).chain
        assert (again.chain_id, again.existed, again.environment) == (made.chain_id, True, "")

        shown = {d.deployment_id: d for d in (await stub.GetStatus(admin_pb2.GetStatusRequest())).deployments}
        assert shown[say.deployment_id].chain == chain_pb2.ChainPlace(
            chain="hello", chain_id=made.chain_id, chainlet="Say", is_entrypoint=True, dependencies=["Rand"]
        )
        assert shown[rand.deployment_id].name == "hello.Rand"
        snapshot = control_pb2.WatchResponse.FromString(parts.reconciler.publisher._build()).snapshot
        assert {(d.name, d.kind) for d in snapshot.deployments} == {
            ("hello", control_pb2.DEPLOYMENT_KIND_CHAIN),
            ("hello.Rand", control_pb2.DEPLOYMENT_KIND_CHAIN),
        }

    run(served_state, scenario)


def test_single_chainlets_are_scaled_paused_and_explained_by_their_names(
    served_state: Served, chain: chain_pb2.ChainSpec
) -> None:
    async def scenario(parts: ControllerParts, stub: Any) -> None:
        made = (await stub.CreateChain(chain_pb2.CreateChainRequest(chain=chain))).chain
        rand = made.chainlets[0].deployment_id
        scaled = await stub.ScaleDeployment(admin_pb2.ScaleDeploymentRequest(deployment="hello.Rand", max_replica=4))
        assert (scaled.deployment_id, scaled.after.autoscaling.max_replica) == (rand, 4)
        paused = await stub.PauseScaling(admin_pb2.PauseScalingRequest(deployment="hello", pause=True))
        assert list(paused.paused) == [made.chain_id]
        told = await stub.ExplainDeployment(admin_pb2.ExplainDeploymentRequest(deployment="hello.Rand"))
        assert told.deployment.chain.chainlet == "Rand"
        await parts.until(lambda: len(parts.actuator.running) == 2)
        drain = admin_pb2.ChangeReplicasRequest(change=admin_pb2.REPLICA_CHANGE_DRAIN, replicas=["hello.Rand"])
        assert [r.deployment_id for r in (await stub.ChangeReplicas(drain)).replicas] == [rand]
        events = await stub.ListEvents(admin_pb2.ListEventsRequest(deployment="hello.Rand"))
        assert {e.deployment_id for e in events.events} == {rand}

    run(served_state, scenario)


def test_everything_that_is_wrong_is_told_and_nothing_is_kept(
    served_state: Served, chain: chain_pb2.ChainSpec, tmp_path: Path
) -> None:
    async def refusal(stub: Any, spec: chain_pb2.ChainSpec) -> grpc.aio.AioRpcError:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.CreateChain(chain_pb2.CreateChainRequest(chain=spec))
        return caught.value

    async def scenario(parts: ControllerParts, stub: Any) -> None:
        bad = chain_pb2.ChainSpec()
        bad.CopyFrom(chain)
        bad.name, bad.environment = "Hello", "Prod"
        bad.chainlets[0].dependencies.append("Nobody")
        bad.chainlets[1].artifact = "ab" * 32
        error = await refusal(stub, bad)
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        for part in ("name: must", "environment: must", "dependency 'Nobody'", "exactly one of artifact and source"):
            assert part in str(error.details())

        missing = chain_pb2.ChainSpec()
        missing.CopyFrom(chain)
        missing.chainlets[0].source, missing.chainlets[0].artifact = "", "ab" * 32
        error = await refusal(stub, missing)
        assert error.code() is grpc.StatusCode.NOT_FOUND
        assert "chainlet 'Rand': artifact abab" in str(error.details())

        model = admin_pb2.CreateDeploymentRequest(name="hello", source=str(tmp_path / "say"))
        await stub.CreateDeployment(model)
        error = await refusal(stub, chain)
        assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
        assert "'hello' is a model here" in str(error.details())
        assert len(parts.world.deployments) == 1

    run(served_state, scenario)


def test_a_chain_is_applied_beside_models(served_state: Served, chain: chain_pb2.ChainSpec, tmp_path: Path) -> None:
    async def scenario(parts: ControllerParts, stub: Any) -> None:
        model = admin_pb2.DeploymentSpec(name="echo", source=str(tmp_path / "say"), environment="staging")
        request = admin_pb2.ApplyDeploymentsRequest(deployments=[model], chains=[chain], prune=True)
        applied = await stub.ApplyDeployments(request)
        (made,) = applied.chains
        assert (made.name, made.environment, made.existed) == ("hello", "production", False)
        assert [d.name for d in applied.deployments] == ["echo"]
        pointed = {d.name: d.environments for d in parts.world.deployments.values()}
        assert pointed == {"echo": ("staging",), "hello": ("production",), "hello.Rand": ("production",)}

        request.chains[0].environment = "canary"
        (again,) = (await stub.ApplyDeployments(request)).chains
        assert (again.existed, again.environment) == (True, "canary")

        clash = admin_pb2.DeploymentSpec(name="hello", source=str(tmp_path / "say"), environment="staging")
        with pytest.raises(grpc.aio.AioRpcError, match=r"'hello' is a (model|chain) here"):
            await stub.ApplyDeployments(admin_pb2.ApplyDeploymentsRequest(deployments=[clash], chains=[chain]))
        too_many = admin_pb2.ApplyDeploymentsRequest(chains=[chain] * 101)
        with pytest.raises(grpc.aio.AioRpcError, match="chains: at most 100"):
            await stub.ApplyDeployments(too_many)
        with pytest.raises(grpc.aio.AioRpcError, match="both named 'hello'"):
            await stub.ApplyDeployments(admin_pb2.ApplyDeploymentsRequest(chains=[chain] * 2))

    run(served_state, scenario)
