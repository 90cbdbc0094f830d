from __future__ import annotations

from typing import Any

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


def test_chainlets_stand_below_their_entrypoints() -> None:
    def version(digit: str, created: float) -> list[admin_pb2.DeploymentStatus]:
        changes: dict[str, Any] = {"version": digit * 8, "created_at": timestamp(created)}
        return [
            messages.chainlet("Hear", **changes),
            messages.chainlet("Talk", "Hear", entry=True, **changes),
        ]

    def names(style: Style) -> list[str]:
        lines = render_deployments(status, now_wall=NOW, style=style).splitlines()[1:]
        return [" ".join(line.partition("  active")[0].split()) for line in lines]

    status = admin_pb2.GetStatusResponse(
        deployments=[*version("1", NOW - 90), *version("2", NOW - 60), messages.deployment("zebra", "zebra-33333333")]
    )

    assert names(Style()) == [
        "voice (entry) voice-22222222",
        "voice.Hear voice.Hear-22222222",
        "voice (entry) voice-11111111",
        "voice.Hear voice.Hear-11111111",
        "zebra zebra-33333333",
    ]


def test_state_says_what_stands_between_it_and_new_streams() -> None:
    assert state(messages.deployment()).text == "active"
    assert state(messages.deployment(superseded=True)).text == "superseded"
    assert state(messages.deployment(superseded=True, pending_environment="production")).text == "pending"
    assert state(messages.deployment(superseded=True, retired=True)).text == "retired"


def test_no_deployment_says_what_to_do() -> None:
    assert "penstock up DIRECTORY" in render_deployments(admin_pb2.GetStatusResponse(), now_wall=NOW, style=Style())
