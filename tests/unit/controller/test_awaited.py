from __future__ import annotations

from typing import Any

import pytest

from penstock.api.control.v1 import admin_pb2
from penstock_controller.cli.awaited import Awaited, What
from penstock_testing import status_messages as messages


def missing(text: str, *, recovering: bool = False, **changes: Any) -> str:
    status = admin_pb2.GetStatusResponse(controller=messages.controller(recovering=recovering))
    return Awaited.parse(text).missing(status, messages.deployment(**changes))


@pytest.mark.parametrize(
    ("text", "changes", "said"),
    [
        ("ready=2", {}, ""),
        ("ready=1", {}, ""),
        ("ready=3", {}, "2 of 3 replicas ready, 2 wanted"),
        ("ready=2", {"ready_replicas": 1, "starting_replicas": 1}, "1 of 2 replicas ready, 1 starting"),
        (
            "ready=2",
            {"ready_replicas": 1, "failed_replicas": 1, "message": "Traceback\nValueError: no weights"},
            "1 of 2 replicas ready, 1 failed, ValueError: no weights",
        ),
        ("streams=11", {}, ""),
        ("streams=0", {}, "11 streams open"),
        ("waiting=0", {}, ""),
        ("waiting=0", {"waiting_streams": 1}, "1 stream waiting"),
        ("drained", {}, ""),
        ("drained", {"draining_replicas": 2}, "2 replicas draining, 11 streams open"),
    ],
)
def test_what_is_missing_is_said(text: str, changes: dict[str, Any], said: str) -> None:
    assert missing(text, **changes) == said


@pytest.mark.parametrize("text", ["streams=11", "waiting=0", "drained"])
def test_nothing_is_over_while_replicas_are_not_known(text: str) -> None:
    assert "has not heard of every replica yet" in missing(text, recovering=True)


def test_replicas_that_are_ready_count_at_once() -> None:
    assert missing("ready=2", recovering=True) == ""


@pytest.mark.parametrize("text", ["", "ready", "ready=", "ready=-1", "ready=x", "drained=1", "ready=1000001", "gone"])
def test_other_conditions_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be ready=N, streams=N, waiting=N or drained"):
        Awaited.parse(text)


def test_condition_is_read() -> None:
    assert Awaited.parse("ready=2") == Awaited(What.READY, 2)
    assert Awaited.parse("drained") == Awaited(What.DRAINED)
