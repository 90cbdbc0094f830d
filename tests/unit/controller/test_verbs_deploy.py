from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from penstock.api.control.v1 import admin_pb2
from penstock_testing.controller_command import ControllerCommand
from penstock_testing.fake_admin import FakeAdmin, refusal

MADE = admin_pb2.ApplyDeploymentsResponse(
    deployments=[admin_pb2.AppliedDeployment(name="echo", deployment_id="echo-11111111")]
)


def test_a_directory_becomes_a_deployment_beside_the_others(
    fake_admin: FakeAdmin, controller: ControllerCommand, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_admin.answer("ApplyDeployments", MADE)
    monkeypatch.chdir(tmp_path)

    done = controller("deploy", "echo", "--environment", "staging", "--replicas", "2")

    assert (done.status, done.out) == (0, "staging of echo points to echo-11111111\n")
    (request,) = fake_admin.requests["ApplyDeployments"]
    assert not request.prune
    (spec,) = request.deployments
    assert (spec.source, spec.environment, spec.replicas, spec.name) == (str(tmp_path / "echo"), "staging", 2, "")


def test_without_a_number_it_is_scaled_by_load(fake_admin: FakeAdmin, controller: ControllerCommand) -> None:
    fake_admin.answer("ApplyDeployments", MADE)
    controller("deploy", "echo", "--environment", "staging", "--name", "mine")

    (request,) = fake_admin.requests["ApplyDeployments"]
    assert not request.deployments[0].HasField("replicas")
    assert request.deployments[0].name == "mine"


def test_what_the_controller_finds_wrong_is_told(fake_admin: FakeAdmin, controller: ControllerCommand) -> None:
    fake_admin.answer("ApplyDeployments", refusal(grpc.StatusCode.INVALID_ARGUMENT, "source: /x is not a folder"))

    done = controller("deploy", "/x", "--environment", "staging")

    assert (done.status, done.out) == (1, "")
    assert "source: /x is not a folder" in done.err


def test_the_environment_must_be_given(controller: ControllerCommand) -> None:
    assert controller("deploy", "/x").status == 2
