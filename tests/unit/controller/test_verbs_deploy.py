from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from penstock.api.control.v1 import admin_pb2
from penstock_testing.controller_command import ControllerCommand
from penstock_testing.fake_admin import FakeAdmin, refusal


def made(**changes: object) -> admin_pb2.CreateDeploymentResponse:
    values = {"name": "echo", "deployment_id": "echo-11111111", "environment": "staging", **changes}
    return admin_pb2.CreateDeploymentResponse(**values)  # type: ignore[arg-type]  # fields by name


def test_a_directory_becomes_a_deployment_beside_the_others(
    fake_admin: FakeAdmin, controller: ControllerCommand, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_admin.answer("CreateDeployment", made())
    monkeypatch.chdir(tmp_path)

    done = controller("deploy", "echo", "--environment", "staging", "--replicas", "2")

    assert (done.status, done.out) == (
        0,
        "echo: echo-11111111\n  staging points to it as soon as a replica is ready\n",
    )
    (request,) = fake_admin.requests["CreateDeployment"]
    assert (request.source, request.environment) == (str(tmp_path / "echo"), "staging")
    assert (request.replicas, request.name, request.artifact) == (2, "", "")


def test_without_a_number_it_is_scaled_by_load(fake_admin: FakeAdmin, controller: ControllerCommand) -> None:
    fake_admin.answer("CreateDeployment", made())
    controller("deploy", "echo", "--environment", "staging", "--name", "mine")

    (request,) = fake_admin.requests["CreateDeployment"]
    assert not request.HasField("replicas")
    assert request.name == "mine"


def test_without_an_environment_it_says_how_to_promote(fake_admin: FakeAdmin, controller: ControllerCommand) -> None:
    fake_admin.answer("CreateDeployment", made(environment="", existed=True))

    done = controller("deploy", "/x")

    assert "echo-11111111 (was there already)" in done.out
    assert "controller promote echo-11111111" in done.out


def test_what_the_controller_finds_wrong_is_told(fake_admin: FakeAdmin, controller: ControllerCommand) -> None:
    fake_admin.answer("CreateDeployment", refusal(grpc.StatusCode.INVALID_ARGUMENT, "source: /x is not a folder"))

    done = controller("deploy", "/x", "--environment", "staging")

    assert (done.status, done.out) == (1, "")
    assert "source: /x is not a folder" in done.err
