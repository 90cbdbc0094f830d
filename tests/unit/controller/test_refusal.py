from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from penstock.api.control.v1 import admin_pb2, admin_pb2_grpc
from penstock_controller import errors
from penstock_controller.services import refusal
from penstock_testing.controller_parts import served_controller


def test_refusal_has_a_status_a_text_and_a_machine_readable_reason(tmp_path: Path) -> None:
    async def scenario() -> grpc.aio.AioRpcError:
        async with served_controller(tmp_path) as (_, address), grpc.aio.insecure_channel(address) as channel:
            stub = admin_pb2_grpc.AdminServiceStub(channel)
            spec = admin_pb2.DeploymentSpec(source="here")
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.ApplyDeployments(admin_pb2.ApplyDeploymentsRequest(deployments=[spec]), timeout=10)
            return refused.value

    error = asyncio.run(scenario())

    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    trailers = dict(error.trailing_metadata())
    status = status_pb2.Status.FromString(bytes(trailers["grpc-status-details-bin"]))
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain) == ("INVALID_REQUEST", "penstock")


def test_every_error_has_a_reason_and_a_status_of_its_own() -> None:
    kinds = errors.ControllerError.__subclasses__()

    assert len({kind.reason for kind in kinds}) == len(kinds)
    assert set(refusal._CODES) == set(kinds)
