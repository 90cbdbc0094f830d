from __future__ import annotations

import argparse
import io
import json
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from typing import Any

import grpc
import pytest
import yaml

from penstock.api.control.v1 import admin_pb2
from penstock_controller.cli import status_watch
from penstock_controller.cli.failures import CommandError
from penstock_controller.cli.status_watch import watch
from penstock_testing import status_messages as messages
from penstock_testing.fake_admin import FakeAdmin, served

AWAY = grpc.StatusCode.UNAVAILABLE


class Enough(Exception):
    """Ends a watch."""


@pytest.fixture
def looked() -> Iterator[Callable[..., None]]:
    """Watches a controller that gives these answers, one per look."""
    admin = FakeAdmin()
    with served(admin) as address:

        def look(*answers: Any, env: dict[str, str] | None = None, **options: Any) -> None:
            admin.answer("GetStatus", *answers)
            given: dict[str, Any] = {
                "address": address,
                "state_dir": None,
                "timeout": 5.0,
                "interval": 1.0,
                "deployments": [],
                "output": "table",
                "replicas": False,
                "no_color": False,
                "no_headers": False,
                "sort_by": "",
            }
            left = iter(range(len(answers) - 1))

            def rest(seconds: float) -> None:
                assert seconds == 1.0
                if next(left, None) is None:
                    raise Enough

            with pytest.raises(Enough):
                watch(argparse.Namespace(**given | options), env or {}, rest=rest)

        yield look


def busier() -> admin_pb2.GetStatusResponse:
    status = messages.healthy()
    status.deployments[0].active_streams += 1
    return status


def test_off_a_terminal_every_change_is_one_object(
    looked: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    looked(messages.healthy(), messages.healthy(), busier(), busier())

    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["deployments"][0]["streams"]["active"] for line in lines] == [11, 12]


def test_controller_that_goes_away_is_told_once_and_waited_for(
    looked: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    looked(messages.healthy(), AWAY, AWAY, messages.healthy(), output="json")

    kinds = [json.loads(line)["kind"] for line in capsys.readouterr().out.splitlines()]
    assert kinds == ["Status", "ControllerDown", "Status"]


def test_yaml_documents_are_separated(looked: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    looked(messages.healthy(), busier(), output="yaml")

    assert len(list(yaml.safe_load_all(capsys.readouterr().out))) == 2


def test_named_deployment_that_is_gone_later_ends_nothing(
    looked: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    gone = admin_pb2.GetStatusResponse(controller=messages.controller())

    looked(messages.healthy(), gone, deployments=["echo"])

    shown = [json.loads(line)["deployments"] for line in capsys.readouterr().out.splitlines()]
    assert [len(deployments) for deployments in shown] == [1, 0]


def test_unknown_deployment_ends_the_first_look(looked: Callable[..., None]) -> None:
    with pytest.raises(CommandError, match="no deployment 'nobody'"):
        looked(messages.healthy(), deployments=["nobody"])


class Terminal(io.StringIO):
    """A standard output of 80 columns that passes for a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def test_terminal_is_drawn_again_in_place(looked: Callable[..., None]) -> None:
    with redirect_stdout(Terminal()) as out:
        looked(messages.healthy(), messages.healthy(), env={"TERM": "xterm", "NO_COLOR": "1"})

    _, first, second = out.getvalue().split("\x1b[H")
    assert first == second
    assert first.startswith("HEALTHY  controller c0ffee00")


def test_last_picture_stays_while_the_controller_is_away(looked: Callable[..., None]) -> None:
    with redirect_stdout(Terminal()) as out:
        looked(messages.healthy(), AWAY, messages.healthy(), env={"TERM": "xterm", "NO_COLOR": "1"})

    _, _, away, back = out.getvalue().split("\x1b[H")
    assert away.startswith("CONTROLLER DOWN\x1b[K\nno answer from the controller at 127.0.0.1:")
    assert "What it said 0." in away
    assert "HEALTHY" in away
    assert back.startswith("HEALTHY")


def test_dumb_terminal_gets_tables_on_a_change_only(looked: Callable[..., None]) -> None:
    with redirect_stdout(Terminal()) as out:
        looked(messages.healthy(), messages.healthy(), AWAY, busier(), env={"TERM": "dumb"})

    assert out.getvalue().count("HEALTHY") == 2
    assert out.getvalue().count("CONTROLLER DOWN") == 1
    assert "\x1b" not in out.getvalue()


def test_reader_that_has_seen_enough_ends_it(looked: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_watch, "reader_is_gone", lambda out: True)

    with pytest.raises(BrokenPipeError):
        looked(messages.healthy(), messages.healthy())


def test_documents_are_never_drawn(looked: Callable[..., None]) -> None:
    with redirect_stdout(Terminal()) as out:
        looked(messages.healthy(), messages.healthy(), env={"TERM": "xterm"}, output="json")

    assert json.loads(out.getvalue())["verdict"] == "HEALTHY"
