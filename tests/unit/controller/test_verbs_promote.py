from __future__ import annotations

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from penstock.api.control.v1 import admin_pb2, chain_pb2
from penstock_controller.cli.verbs.promote import render
from penstock_testing.controller_command import ControllerCommand
from penstock_testing.fake_admin import FakeAdmin

NEW, OLD = "echo-22222222", "echo-11111111"


def promotion(*, before: str = OLD, streams: int = 0, pending: bool = False) -> admin_pb2.PromoteDeploymentResponse:
    return admin_pb2.PromoteDeploymentResponse(
        name="echo",
        environment="production",
        to_deployment_id=NEW,
        from_deployment_id=before,
        open_streams=streams,
        pending=pending,
    )


def status(**changes: object) -> admin_pb2.GetStatusResponse:
    new = admin_pb2.DeploymentStatus(deployment_id=NEW, **changes)  # type: ignore[arg-type]  # fields by name
    return admin_pb2.GetStatusResponse(deployments=[admin_pb2.DeploymentStatus(deployment_id=OLD), new])


def test_a_promotion_tells_what_becomes_of_the_open_streams() -> None:
    assert render(promotion(streams=12), deadline_s=None, dry_run=False).splitlines() == [
        f"production of echo points to {NEW}",
        f"  before: {OLD}",
        "  12 open streams stay on it until they end",
        f"  to roll back: controller promote {OLD} --environment production",
    ]


@pytest.mark.parametrize(
    ("streams", "deadline_s", "line"),
    [
        (1, None, "  1 open stream stays on it until they end"),
        (2, 600.0, "  2 open streams stay on it for at most 10m, then they are ended with 1012"),
        (2, 0.0, "  2 open streams on it will be ended with 1012 at once"),
    ],
)
def test_the_deadline_of_the_streams_is_told(streams: int, deadline_s: float | None, line: str) -> None:
    assert render(promotion(streams=streams), deadline_s=deadline_s, dry_run=False).splitlines()[2] == line


def test_a_promotion_that_waits_for_a_replica_says_who_serves_meanwhile() -> None:
    assert render(promotion(pending=True), deadline_s=None, dry_run=False).splitlines()[:2] == [
        f"production of echo will point to {NEW} once a replica is ready",
        f"  before: {OLD}, which takes new streams until then",
    ]


def test_a_chain_is_promoted_with_its_other_chainlets() -> None:
    answer = promotion(pending=True)
    answer.chainlets = 3
    assert render(answer, deadline_s=None, dry_run=False).startswith(
        f"production of echo will point to {NEW} and its 2 other chainlets once each has a ready replica\n"
    )
    answer.pending, answer.chainlets = False, 2
    first = render(answer, deadline_s=None, dry_run=False).splitlines()[0]
    assert first == f"production of echo points to {NEW} and its 1 other chainlet"


def test_waiting_for_a_chain_names_the_chainlet_that_is_missing(
    fake_admin: FakeAdmin, controller: ControllerCommand
) -> None:
    fake_admin.answer("PromoteDeployment", promotion(pending=True))
    places = [chain_pb2.ChainPlace(chain="echo", chain_id=NEW, chainlet=name) for name in ("Talk", "Hear")]
    waits: dict[str, object] = {"pending_environment": "production"}
    inner = admin_pb2.DeploymentStatus(deployment_id="echo.Hear-22222222", chain=places[1], message="no file")
    told = status(chain=places[0], ready_replicas=1, **waits)
    told.deployments.append(inner)
    fake_admin.answer("GetStatus", told)

    done = controller("promote", NEW, "--wait", "--timeout", "0.3")

    assert "echo.Hear-22222222 has no ready replica yet (no file)" in done.err


def test_a_dry_run_says_would_and_offers_no_way_back() -> None:
    shown = render(promotion(pending=True), deadline_s=None, dry_run=True)

    assert shown.startswith(f"production of echo would point to {NEW} once a replica is ready\n")
    assert "roll back" not in shown


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (promotion(before=""), f"production of echo points to {NEW}\n"),
        (promotion(before=NEW), f"production of echo points to {NEW} already\n"),
    ],
)
def test_without_another_deployment_before_one_line_is_enough(
    answer: admin_pb2.PromoteDeploymentResponse, text: str
) -> None:
    assert render(answer, deadline_s=None, dry_run=False) == text


def test_every_option_goes_to_the_controller(fake_admin: FakeAdmin, controller: ControllerCommand) -> None:
    fake_admin.answer("PromoteDeployment", promotion())

    controller("promote", "echo-2")
    controller("promote", "echo-2", "--environment", "staging", "--deadline", "1h", "--now", "--dry-run")

    assert fake_admin.requests["PromoteDeployment"] == [
        admin_pb2.PromoteDeploymentRequest(deployment="echo-2", environment="production"),
        admin_pb2.PromoteDeploymentRequest(
            deployment="echo-2",
            environment="staging",
            deadline=Duration(seconds=3600),
            at_once=True,
            dry_run=True,
        ),
    ]


def test_waiting_ends_when_the_environment_points_to_it(fake_admin: FakeAdmin, controller: ControllerCommand) -> None:
    fake_admin.answer("PromoteDeployment", promotion(pending=True))
    fake_admin.answer(
        "GetStatus",
        status(pending_environment="production"),
        grpc.StatusCode.UNAVAILABLE,
        status(environments=["production"]),
    )

    done = controller("promote", NEW, "--wait")

    assert done.status == 0
    assert done.out.splitlines()[-1] == f"production of echo points to {NEW}"
    assert len(fake_admin.requests["GetStatus"]) == 3


def test_waiting_that_takes_too_long_says_what_is_missing(fake_admin: FakeAdmin, controller: ControllerCommand) -> None:
    fake_admin.answer("PromoteDeployment", promotion(pending=True))
    fake_admin.answer("GetStatus", status(pending_environment="production", message="Traceback\nValueError: no file"))

    done = controller("promote", NEW, "--wait", "--timeout", "0.3")

    assert done.status == 124
    assert f"{NEW} has no ready replica yet (ValueError: no file)" in done.err


def test_waiting_ends_when_the_promotion_was_taken_back(fake_admin: FakeAdmin, controller: ControllerCommand) -> None:
    fake_admin.answer("PromoteDeployment", promotion(pending=True))
    fake_admin.answer("GetStatus", status())

    done = controller("promote", NEW, "--wait")

    assert done.status == 1
    assert "the promotion was taken back" in done.err


@pytest.mark.parametrize("answer", [promotion(), promotion(before=NEW)])
def test_there_is_nothing_to_wait_for_when_it_is_done(
    fake_admin: FakeAdmin, controller: ControllerCommand, answer: admin_pb2.PromoteDeploymentResponse
) -> None:
    fake_admin.answer("PromoteDeployment", answer)

    assert controller("promote", NEW, "--wait").status == 0
    assert fake_admin.requests["GetStatus"] == []


@pytest.mark.parametrize("arguments", [[], ["a", "--deadline", "31d"], ["a", "--timeout", "0"]])
def test_bad_usage_ends_with_two(fake_admin: FakeAdmin, controller: ControllerCommand, arguments: list[str]) -> None:
    assert controller("promote", *arguments).status == 2
    assert fake_admin.requests == {}
