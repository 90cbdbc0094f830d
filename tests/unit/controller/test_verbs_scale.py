from __future__ import annotations

import pytest

from penstock.api.control.v1 import admin_pb2, load_pb2
from penstock_controller.cli.verbs.scale import render
from penstock_testing.controller_command import ControllerCommand
from penstock_testing.fake_admin import FakeAdmin


def state(target: int, *, manual: int | None = None, **settings: int) -> admin_pb2.ScalingState:
    return admin_pb2.ScalingState(
        autoscaling=load_pb2.Autoscaling(**{"max_replica": 3, "max_concurrency": 8, **settings}),  # type: ignore[arg-type]  # fields by name
        manual_replicas=manual,
        target_replicas=target,
    )


def change(before: admin_pb2.ScalingState, after: admin_pb2.ScalingState) -> admin_pb2.ScaleDeploymentResponse:
    return admin_pb2.ScaleDeploymentResponse(deployment_id="echo-1a2b3c4d", before=before, after=after)


SCALED_TO_FIXED = change(state(1), state(3, manual=3))


def test_what_changes_is_shown_before_and_after() -> None:
    changed = change(state(1), state(2, min_replica=2, max_replica=5, max_concurrency=16))

    assert render(changed, dry_run=False).splitlines() == [
        "echo-1a2b3c4d: changed",
        "  min_replica      0 -> 2",
        "  max_replica      3 -> 5",
        "  max_concurrency  8 -> 16",
        "  wanted now       1 -> 2",
    ]


def test_a_fixed_number_begins_and_ends() -> None:
    assert render(SCALED_TO_FIXED, dry_run=True).splitlines() == [
        "echo-1a2b3c4d: would change",
        "  replicas    by load -> fixed at 3",
        "  wanted now  1 -> 3",
    ]
    back = change(state(3, manual=3), state(3))
    assert "fixed at 3 -> by load" in render(back, dry_run=False)


def test_nothing_to_change_is_said() -> None:
    same = change(state(1), state(1))

    assert render(same, dry_run=False) == "echo-1a2b3c4d: nothing changed\n"
    assert render(same, dry_run=True) == "echo-1a2b3c4d: nothing would change\n"


@pytest.mark.parametrize(
    ("arguments", "request_"),
    [
        (["--replicas", "0"], {"replicas": 0}),
        (["--min", "0", "--max", "5"], {"min_replica": 0, "max_replica": 5}),
        (["--max-concurrency", "16", "--dry-run"], {"max_concurrency": 16, "dry_run": True}),
        (["--replicas", "2", "--max-concurrency", "16"], {"replicas": 2, "max_concurrency": 16}),
        (["--auto"], {"automatic": True}),
    ],
)
def test_only_what_was_given_is_asked_for(
    fake_admin: FakeAdmin, controller: ControllerCommand, arguments: list[str], request_: dict[str, int]
) -> None:
    fake_admin.answer("ScaleDeployment", SCALED_TO_FIXED)

    done = controller("scale", "echo", *arguments)

    assert (done.status, done.err) == (0, "")
    assert "by load -> fixed at 3" in done.out
    assert fake_admin.requests["ScaleDeployment"] == [
        admin_pb2.ScaleDeploymentRequest(deployment="echo", **request_)  # type: ignore[arg-type]  # fields by name
    ]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "say what to change"),
        (["--dry-run"], "say what to change"),
        (["--auto", "--min", "1"], "--auto takes everything back"),
        (["--auto", "--replicas", "1"], "--auto takes everything back"),
        (["--replicas", "1", "--max", "3"], "give one of them"),
        (["--min", "4", "--max", "3"], "--min 4 is above --max 3"),
        (["--replicas", "10001"], "from 0 to 10000"),
        (["--max", "0"], "from 1 to 10000"),
        (["--max-concurrency", "0"], "from 1 to 1000000"),
    ],
)
def test_what_does_not_go_together_is_bad_usage(
    fake_admin: FakeAdmin, controller: ControllerCommand, arguments: list[str], complaint: str
) -> None:
    done = controller("scale", "echo", *arguments)

    assert done.status == 2
    assert complaint in done.err
    assert fake_admin.requests == {}
