from __future__ import annotations

import json

import grpc
import pytest

from penstock.api.control.v1 import admin_pb2
from penstock.cli.main import main
from penstock_testing.fake_admin import FakeAdmin, refusal

RECORD = json.dumps({"event": "ready", "level": "info"})


def lines(origin: str, *texts: str) -> admin_pb2.ReadLogsResponse:
    return admin_pb2.ReadLogsResponse(origin=origin, lines=texts)


def test_lines_of_several_replicas_have_labels(
    admin: FakeAdmin, controller: str, capsys: pytest.CaptureFixture[str]
) -> None:
    admin.answer("ReadLogs", [lines("m-1-aaaaa", "one"), lines("m-1-bbbbb", RECORD)], [])
    assert main(["logs", "m", "--tail", "7"]) == 0
    assert capsys.readouterr().out == "aaaaa | one\nbbbbb | INFO ready\n"
    assert admin.requests["ReadLogs"] == [admin_pb2.ReadLogsRequest(target="m", tail_lines=7)]


def test_one_replica_needs_no_label_and_raw_lines_stay(
    admin: FakeAdmin, controller: str, capsys: pytest.CaptureFixture[str]
) -> None:
    admin.answer("ReadLogs", [lines("m-1-aaaaa", RECORD)], [])
    assert main(["logs", "m", "--raw", "--build"]) == 0
    assert capsys.readouterr().out == f"{RECORD}\n"
    assert admin.requests["ReadLogs"][0].build_only


def test_followed_replicas_have_labels_from_the_first_line(
    admin: FakeAdmin, controller: str, capsys: pytest.CaptureFixture[str]
) -> None:
    replicas = [admin_pb2.ReplicaView(replica_id=f"m-1-{name}", deployment_id="m-1") for name in ("a", "b")]
    deployment = admin_pb2.DeploymentStatus(name="m", deployment_id="m-1")
    admin.answer("GetStatus", admin_pb2.GetStatusResponse(deployments=[deployment], replicas=replicas))
    admin.answer("ReadLogs", [lines("m-1-a", "one")], [])
    assert main(["logs", "m", "-f"]) == 0
    assert capsys.readouterr().out == "a | one\n"
    assert admin.requests["ReadLogs"][0].follow


def test_a_name_that_is_not_known_has_its_own_status(
    admin: FakeAdmin, controller: str, capsys: pytest.CaptureFixture[str]
) -> None:
    admin.answer("ReadLogs", refusal(grpc.StatusCode.NOT_FOUND, "no deployment 'x'"))
    assert main(["logs", "x"]) == 4
    assert capsys.readouterr().err == "penstock logs: no deployment 'x'\n"
