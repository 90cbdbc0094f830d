from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml

from penstock.api.control.v1 import admin_pb2
from penstock_controller.cli.verbs import status as verb
from penstock_testing import status_messages as messages
from penstock_testing.fake_admin import FakeAdmin

Controller = Callable[..., Any]


def degraded() -> admin_pb2.GetStatusResponse:
    shown = messages.healthy()
    shown.replicas[0].suspect = True
    return shown


def unavailable() -> admin_pb2.GetStatusResponse:
    shown = messages.healthy()
    shown.deployments[0].ready_replicas = 0
    return shown


def test_tables_are_shown(fake_admin: FakeAdmin, controller: Controller) -> None:
    fake_admin.answer("GetStatus", messages.healthy())

    done = controller("status")

    assert done.status == 0
    assert done.out.startswith("HEALTHY  controller c0ffee00  epoch 3")
    assert "echo-0a1b2c3d-aaaaa  ready" in done.out


@pytest.mark.parametrize("output", ["json", "jsonl", "yaml"])
def test_documents_are_shown(fake_admin: FakeAdmin, controller: Controller, output: str) -> None:
    fake_admin.answer("GetStatus", messages.healthy())

    done = controller("status", "-o", output)

    document = yaml.safe_load(done.out) if output == "yaml" else json.loads(done.out)
    assert (document["kind"], document["verdict"]) == ("Status", "HEALTHY")


@pytest.mark.parametrize(
    ("answer", "checked"), [(messages.healthy, 0), (degraded, 3), (unavailable, 4)], ids=["healthy", "degraded", "gone"]
)
def test_check_tells_by_the_exit_status(
    fake_admin: FakeAdmin,
    controller: Controller,
    answer: Callable[[], admin_pb2.GetStatusResponse],
    checked: int,
) -> None:
    fake_admin.answer("GetStatus", answer())

    assert controller("status").status == 0
    assert controller("status", "--check").status == checked
    quiet = controller("status", "--quiet")
    assert (quiet.status, quiet.out, quiet.err) == (checked, "", "")


def test_named_deployments_are_shown_and_judged_alone(fake_admin: FakeAdmin, controller: Controller) -> None:
    shown = messages.healthy()
    shown.deployments.append(messages.deployment("voice", "voice-1", ready_replicas=0))
    fake_admin.answer("GetStatus", shown)

    assert controller("status", "--check").status == 4
    done = controller("status", "--check", "echo")
    assert (done.status, "voice" in done.out) == (0, False)


def test_unknown_deployment_is_not_found(fake_admin: FakeAdmin, controller: Controller) -> None:
    fake_admin.answer("GetStatus", messages.healthy())

    done = controller("status", "nobody")

    assert done.status == 4
    assert done.err == "controller: no deployment 'nobody'; there are: echo\n"


def test_replicas_are_shown_for_a_named_deployment(fake_admin: FakeAdmin, controller: Controller) -> None:
    shown = messages.healthy()
    shown.replicas.extend(messages.replica(f"r{n:04}") for n in range(30))
    fake_admin.answer("GetStatus", shown)

    assert "r0029" not in controller("status").out
    assert "r0029" in controller("status", "echo").out
    assert "r0029" in controller("status", "--replicas").out
    assert "r0029" in controller("status", "-o", "wide").out


def test_unknown_column_is_bad_usage(fake_admin: FakeAdmin, controller: Controller) -> None:
    fake_admin.answer("GetStatus", messages.healthy())

    done = controller("status", "--sort-by", "beauty")

    assert done.status == 2
    assert "--sort-by beauty: there is no such column" in done.err


def test_controller_that_is_down_is_said_first(controller: Controller, no_controller: Path) -> None:
    done = controller("status")

    assert (done.status, done.out) == (1, "")
    assert done.err.startswith(f"CONTROLLER DOWN: no runner of {no_controller} is alive.\n")
    assert f"no controller is known in {no_controller}" in done.err


def test_programs_are_told_that_it_is_down(controller: Controller, no_controller: Path) -> None:
    done = controller("status", "-o", "json")

    document = json.loads(done.out)
    assert (done.status, document["kind"], document["replicas"]) == (1, "ControllerDown", [])
    assert document["state_dir"] == str(no_controller)


def test_refusal_is_not_taken_for_an_absence(fake_admin: FakeAdmin, controller: Controller) -> None:
    fake_admin.answer("GetStatus", grpc.StatusCode.PERMISSION_DENIED)

    done = controller("status")

    assert done.status == 1
    assert "CONTROLLER DOWN" not in done.err


def test_watch_is_handed_on(monkeypatch: pytest.MonkeyPatch, controller: Controller) -> None:
    asked = []

    def watch(arguments: Any, env: object) -> None:
        asked.append((arguments.interval, arguments.deployments))
        raise KeyboardInterrupt

    monkeypatch.setattr(verb, "watch", watch)

    assert controller("status", "--watch", "--interval", "0.5", "echo").status == 130
    assert asked == [(0.5, ["echo"])]


@pytest.fixture
def no_controller(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.delenv("PENSTOCK_CONTROLLER", raising=False)
    monkeypatch.setenv("PENSTOCK_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"
