from __future__ import annotations

import io

import grpc
import pytest

from penstock.api.control.v1 import admin_pb2, admin_pb2_grpc
from penstock.cli.progress_line import ProgressLine
from penstock.cli.push import following
from penstock.cli.push.following import Following
from penstock.cli.push.outcome import Verdict
from penstock_testing.fake_admin import FakeAdmin


def status(*deployments: admin_pb2.DeploymentStatus) -> admin_pb2.GetStatusResponse:
    return admin_pb2.GetStatusResponse(deployments=deployments)


def follow(address: str, timeout_s: float = 10.0) -> tuple[Following, Verdict, str]:
    out = io.StringIO()
    with grpc.insecure_channel(address) as channel:
        found = Following(admin_pb2_grpc.AdminServiceStub(channel), "m-1", "qa", ProgressLine(out))
        verdict = found.run(timeout_s)
    return found, verdict, out.getvalue()


def test_the_environment_comes_after_the_replica(
    admin: FakeAdmin, controller: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "POLL_S", 0.01)
    active = admin_pb2.DeploymentStatus(deployment_id="m-1", phase="ACTIVE")
    promoted = admin_pb2.DeploymentStatus(
        deployment_id="m-1", phase="ACTIVE", environments=["qa"], endpoints=["predict"]
    )
    other = admin_pb2.DeploymentStatus(deployment_id="m-0", phase="FAILED")
    admin.answer("GetStatus", status(other, active), status(other, promoted))
    found, verdict, shown = follow(controller)
    assert verdict is Verdict.SERVES
    assert (found.phase, found.endpoints) == ("ACTIVE", ("predict",))
    assert shown == "m-1: active\n"


def test_a_deployment_that_is_removed_meanwhile_has_failed(admin: FakeAdmin, controller: str) -> None:
    admin.answer("GetStatus", status())
    found, verdict, _ = follow(controller)
    assert verdict is Verdict.FAILED
    assert found.message == "the controller does not know it any more"
