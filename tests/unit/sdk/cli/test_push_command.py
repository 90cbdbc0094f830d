from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest

from penstock.api.control.v1 import admin_pb2, artifact_pb2
from penstock.cli.main import main
from penstock.packing import content_hash, take_inventory
from penstock_testing.fake_admin import FakeAdmin, refusal

MakeModel = Callable[..., Path]
CREATED = admin_pb2.CreateDeploymentResponse(name="m", deployment_id="m-1", environment="production")


def status(phase: str, message: str = "", **fields: object) -> admin_pb2.GetStatusResponse:
    deployment = admin_pb2.DeploymentStatus(
        name="m",
        deployment_id="m-1",
        phase=phase,
        message=message,
        environments=["production"],
        endpoints=["predict"],
        **fields,  # type: ignore[arg-type]  # names are checked by the message
    )
    edge = admin_pb2.EdgeView(http_address="127.0.0.1:8000")
    return admin_pb2.GetStatusResponse(deployments=[deployment], edges=[edge])


@pytest.fixture
def stored(admin: FakeAdmin, controller: str) -> FakeAdmin:
    """A controller that has every artifact."""
    admin.answer("GetArtifact", artifact_pb2.GetArtifactResponse(is_stored=True))
    admin.answer("CreateDeployment", CREATED)
    admin.answer("GetStatus", status("ACTIVE"))
    return admin


def test_unchanged_code_is_not_sent_again(
    stored: FakeAdmin, make_model: MakeModel, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_model()
    assert main(["push", str(folder), "--promote", "--name", "other"]) == 0
    artifact = content_hash(take_inventory(folder))
    assert list(stored.requests["CreateDeployment"]) == [
        admin_pb2.CreateDeploymentRequest(name="other", artifact=artifact, environment="production")
    ]
    assert "UploadArtifact" not in stored.requests
    printed = capsys.readouterr()
    assert f"unchanged: the controller has this code already ({artifact[:12]})" in printed.err
    assert printed.out.startswith("m: deployment m-1\n  production will point to it")


def test_wait_follows_the_phases_until_it_serves(
    stored: FakeAdmin, make_model: MakeModel, capsys: pytest.CaptureFixture[str]
) -> None:
    stored.answer("GetStatus", status("BUILDING"), status("LOADING_MODEL"), status("ACTIVE"))
    lines = admin_pb2.ReadLogsResponse(origin="build", lines=["collecting numpy"])
    stored.answer("ReadLogs", [lines], [])
    assert main(["push", str(make_model()), "--wait", "--output", "json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["phase"] == "ACTIVE"
    assert json.loads(printed.out)["urls"] == {"predict": "http://127.0.0.1:8000/model/m/predict"}
    shown = [line for line in printed.err.splitlines() if line.startswith("m-1: ")]
    assert shown[-2:] == ["m-1: loading the model", "m-1: active"]


def test_a_model_that_cannot_be_loaded_fails_with_its_reason(
    stored: FakeAdmin, make_model: MakeModel, capsys: pytest.CaptureFixture[str]
) -> None:
    stored.answer("GetStatus", status("DEPLOY_FAILED", "no memory"))
    record = json.dumps({"event": "out_of_memory", "level": "error"})
    stored.answer("ReadLogs", [admin_pb2.ReadLogsResponse(origin="m-1-abcde", lines=["loading", record])], [])
    assert main(["push", str(make_model()), "--wait"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "penstock push: m-1 will not serve (DEPLOY_FAILED): no memory\n" in printed.err
    assert "  loading\n  ERROR out_of_memory\n" in printed.err


def test_the_time_is_bounded(stored: FakeAdmin, make_model: MakeModel, capsys: pytest.CaptureFixture[str]) -> None:
    stored.answer("GetStatus", status("LOADING_MODEL"))
    assert main(["push", str(make_model()), "--wait", "--timeout", "0.1"]) == 124
    assert "m-1 does not serve after 0.1 s (LOADING_MODEL)" in capsys.readouterr().err


def test_unknown_keys_are_refused_unless_they_are_allowed(
    stored: FakeAdmin, make_model: MakeModel, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_model("model_name: m\nmodel_naem: m\n")
    assert main(["push", str(folder)]) == 2
    assert "config.yaml:2:13: model_naem: is not known" in capsys.readouterr().err
    assert "CreateDeployment" not in stored.requests
    assert main(["push", str(folder), "--allow-unknown-keys"]) == 0


def test_a_folder_without_a_model_is_wrong_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["push", str(tmp_path)]) == 2
    assert "config.yaml" in capsys.readouterr().err


def test_a_refusal_of_the_controller_is_shown(
    stored: FakeAdmin, make_model: MakeModel, capsys: pytest.CaptureFixture[str]
) -> None:
    stored.answer("CreateDeployment", refusal(grpc.StatusCode.INVALID_ARGUMENT, "name: too long"))
    assert main(["push", str(make_model())]) == 1
    assert capsys.readouterr().err.endswith("penstock push: name: too long\n")
