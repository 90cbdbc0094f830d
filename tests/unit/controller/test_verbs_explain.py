from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import grpc

from penstock_testing import status_messages as messages
from penstock_testing.fake_admin import FakeAdmin, refusal

Controller = Callable[..., Any]


def test_explanation_is_shown(fake_admin: FakeAdmin, controller: Controller) -> None:
    fake_admin.answer("ExplainDeployment", messages.explanation())

    done = controller("explain", "echo")

    assert done.status == 0
    assert "Blocked:     max_replica is 3" in done.out
    assert [request.deployment for request in fake_admin.requests["ExplainDeployment"]] == ["echo"]


def test_document(fake_admin: FakeAdmin, controller: Controller) -> None:
    fake_admin.answer("ExplainDeployment", messages.explanation())

    document = json.loads(controller("explain", "echo", "-o", "json").out)

    assert document["now"]["inputs"]["active_streams"] == 24
    assert document["next_look"] == 43


def test_unknown_deployment_is_not_found(fake_admin: FakeAdmin, controller: Controller) -> None:
    fake_admin.answer("ExplainDeployment", refusal(grpc.StatusCode.NOT_FOUND, "no deployment 'nobody'"))

    done = controller("explain", "nobody")

    assert (done.status, done.err) == (4, "controller: no deployment 'nobody'\n")
