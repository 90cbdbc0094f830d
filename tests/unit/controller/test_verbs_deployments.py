from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from penstock_testing import status_messages as messages
from penstock_testing.fake_admin import FakeAdmin

Controller = Callable[..., Any]


def two(admin: FakeAdmin) -> None:
    status = messages.healthy()
    status.deployments.append(messages.deployment("voice", "voice-1", environments=[], superseded=True))
    admin.answer("GetStatus", status)


def test_deployments_are_listed(fake_admin: FakeAdmin, controller: Controller) -> None:
    two(fake_admin)

    done = controller("deployments")

    assert done.status == 0
    assert [line.split()[:3] for line in done.out.splitlines()] == [
        ["MODEL", "DEPLOYMENT", "STATE"],
        ["echo", "echo-0a1b2c3d", "active"],
        ["voice", "voice-1", "superseded"],
    ]


def test_names_pick_some(fake_admin: FakeAdmin, controller: Controller) -> None:
    two(fake_admin)

    assert "echo" not in controller("deployments", "voice").out
    missing = controller("deployments", "nobody")
    assert (missing.status, missing.err) == (4, "controller: no deployment 'nobody'; there are: echo, voice\n")


def test_quiet_gives_ids(fake_admin: FakeAdmin, controller: Controller) -> None:
    two(fake_admin)

    assert controller("deployments", "-q").out == "echo-0a1b2c3d\nvoice-1\n"


def test_document(fake_admin: FakeAdmin, controller: Controller) -> None:
    two(fake_admin)

    document = json.loads(controller("deployments", "-o", "json").out)

    assert (document["kind"], [d["id"] for d in document["deployments"]]) == (
        "Deployments",
        ["echo-0a1b2c3d", "voice-1"],
    )
