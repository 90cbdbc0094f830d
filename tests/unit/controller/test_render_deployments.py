from __future__ import annotations

from penstock.api.control.v1 import admin_pb2
from penstock_controller.cli.render.deployments import render_deployments, state
from penstock_controller.cli.render.style import Style
from penstock_controller.conversion import timestamp
from penstock_testing import status_messages as messages
from penstock_testing.golden import assert_golden
from penstock_testing.status_messages import NOW


def test_golden_list() -> None:
    status = admin_pb2.GetStatusResponse(
        deployments=[
            messages.deployment("voice", "voice-11111111", environments=["staging"], retired=True),
            messages.deployment(deployment_id="echo-9z8y7x6w", environments=[], superseded=True),
            messages.deployment(created_at=timestamp(NOW - 60)),
            messages.deployment(
                deployment_id="echo-55555555",
                environments=[],
                pending_environment="production",
                ready_replicas=0,
                starting_replicas=2,
                created_at=timestamp(NOW - 5),
            ),
        ]
    )

    assert_golden("deployments", render_deployments(status, now_wall=NOW, style=Style()))


def test_state_says_what_stands_between_it_and_new_streams() -> None:
    assert state(messages.deployment()).text == "active"
    assert state(messages.deployment(superseded=True)).text == "superseded"
    assert state(messages.deployment(superseded=True, pending_environment="production")).text == "pending"
    assert state(messages.deployment(superseded=True, retired=True)).text == "retired"


def test_no_deployment_says_what_to_do() -> None:
    assert "penstock up DIRECTORY" in render_deployments(admin_pb2.GetStatusResponse(), now_wall=NOW, style=Style())
