from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import grpc
import pytest

from penstock.api.control.v1 import admin_pb2, control_pb2
from penstock_testing.controller_parts import ControllerParts

Served = Callable[[], AbstractAsyncContextManager[tuple[ControllerParts, Any]]]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "truss"
    folder.mkdir()
    (folder / "config.yaml").write_text("model_name: echo\n")
    return folder


def request(source: Path, **changes: object) -> admin_pb2.CreateDeploymentRequest:
    return admin_pb2.CreateDeploymentRequest(**{"source": str(source), **changes})  # type: ignore[arg-type]  # by name


def test_a_directory_becomes_a_deployment(served_state: Served, source: Path) -> None:
    async def scenario() -> None:
        async with served_state() as (parts, stub):
            made = await stub.CreateDeployment(request(source))
            assert (made.name, made.environment, made.existed) == ("echo", "production", False)
            await parts.until(lambda: len(parts.actuator.running) == 1)
            again = await stub.CreateDeployment(request(source))
            assert (again.deployment_id, again.existed) == (made.deployment_id, True)

    asyncio.run(scenario())


def test_an_artifact_becomes_a_deployment_of_its_folder(served_state: Served, tmp_path: Path) -> None:
    artifact = "ab" * 32
    folder = tmp_path / "artifacts" / artifact
    folder.mkdir(parents=True)
    (folder / "config.yaml").touch()

    async def scenario() -> None:
        async with served_state() as (parts, stub):
            made = await stub.CreateDeployment(admin_pb2.CreateDeploymentRequest(artifact=artifact, name="mine"))
            assert made.deployment_id == "mine-abababab"
            await parts.until(lambda: len(parts.actuator.running) == 1)
            assert parts.actuator.started[0].source == str(folder)
            assert parts.world.artifacts_in_use() == {artifact}
            (shown,) = (await stub.GetStatus(admin_pb2.GetStatusRequest())).deployments
            assert shown.artifact == artifact

    asyncio.run(scenario())


def test_a_bad_request_is_refused_with_what_is_wrong(served_state: Served, source: Path) -> None:
    wrong = [
        (admin_pb2.CreateDeploymentRequest(), "exactly one"),
        (request(source, artifact="ab" * 32), "exactly one"),
        (request(source, environment="Prod"), "environment: must be"),
        (admin_pb2.CreateDeploymentRequest(artifact="cd" * 32), "is not stored"),
        (admin_pb2.CreateDeploymentRequest(artifact="../x"), "SHA-256"),
    ]

    async def scenario() -> None:
        async with served_state() as (_, stub):
            for asked, complaint in wrong:
                with pytest.raises(grpc.aio.AioRpcError, match=complaint):
                    await stub.CreateDeployment(asked)
            with pytest.raises(grpc.aio.AioRpcError, match="no deployment 'x'"):
                await stub.ReloadDeployment(admin_pb2.ReloadDeploymentRequest(deployment="x"))

    asyncio.run(scenario())


def test_a_reload_asks_every_ready_replica_and_tells_what_each_said(served_state: Served, source: Path) -> None:
    async def scenario() -> None:
        async with served_state() as (parts, stub):
            made = await stub.CreateDeployment(request(source, replicas=2))
            await parts.until(lambda: len(parts.actuator.running) == 2)
            sessions = {replica_id: parts.attach(replica_id) for replica_id in parts.actuator.running}

            async def answer(replica_id: str, *, reloaded: bool, message: str) -> None:
                while (told := await sessions[replica_id].next()) is not None:
                    if told.WhichOneof("kind") == "reload":
                        result = control_pb2.ReloadResult(
                            reload_id=told.reload.reload_id, reloaded=reloaded, message=message, needs_restart=False
                        )
                        parts.world.reloads.answered(replica_id, result)
                        return

            one, other = sorted(sessions)
            asked = stub.ReloadDeployment(admin_pb2.ReloadDeploymentRequest(deployment="echo"))
            async with asyncio.timeout(10):
                await asyncio.gather(
                    answer(one, reloaded=True, message=""), answer(other, reloaded=False, message="SyntaxError: x")
                )
                reloaded = await asked
            assert reloaded.deployment_id == made.deployment_id
            assert [(r.replica_id, r.reloaded, r.message) for r in reloaded.replicas] == [
                (one, True, ""),
                (other, False, "SyntaxError: x"),
            ]
            (event,) = [e for e in parts.store.journal.after(0) if e.kind == "deployment_reloaded"]
            assert event.text == f"1 of 2 ready replicas; {other}: SyntaxError: x"

    asyncio.run(scenario())
