from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from penstock_controller.cli.main import command_parser
from penstock_controller.cli.verbs import wait
from penstock_testing import status_messages as messages
from penstock_testing.fake_admin import FakeAdmin

Controller = Callable[..., Any]


class Clock:
    """Time that passes only while someone rests."""

    def __init__(self) -> None:
        self.now = 100.0
        self.rests: list[float] = []

    def __call__(self) -> float:
        return self.now

    def rest(self, seconds: float) -> None:
        self.rests.append(seconds)
        self.now += seconds


def waited(*arguments: str) -> tuple[int, Clock]:
    clock = Clock()
    given = command_parser().parse_args(["wait", *arguments])
    return wait.run(given, os.environ, clock=clock, rest=clock.rest), clock


def test_condition_that_holds_ends_at_once(fake_admin: FakeAdmin, controller: Controller) -> None:
    fake_admin.answer("GetStatus", messages.healthy())

    done = controller("wait", "--for=ready=2", "echo")

    assert (done.status, done.out, done.err) == (0, "", "")


def test_looks_become_rarer_until_it_holds(fake_admin: FakeAdmin) -> None:
    short = messages.healthy()
    short.deployments[0].ready_replicas = 1
    fake_admin.answer("GetStatus", *[short] * 5, messages.healthy())

    status, clock = waited("--for=ready=2", "echo")

    assert status == 0
    assert clock.rests == [0.2, 0.4, 0.8, 1.0, 1.0]


def test_timeout_says_what_is_missing(fake_admin: FakeAdmin, capsys: pytest.CaptureFixture[str]) -> None:
    fake_admin.answer("GetStatus", messages.healthy())

    status, clock = waited("--for=streams=0", "echo", "--timeout", "3")

    assert status == 124
    assert clock.now == 103
    assert capsys.readouterr().err == "controller: echo: not in 3 s: 11 streams open\n"


def test_controller_that_is_away_is_tried_again(fake_admin: FakeAdmin) -> None:
    fake_admin.answer("GetStatus", grpc.StatusCode.UNAVAILABLE, messages.healthy())

    assert waited("--for=ready=2", "echo")[0] == 0


def test_controller_that_stays_away_is_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PENSTOCK_CONTROLLER", raising=False)

    assert waited("--for=ready=2", "echo", "--timeout=2", f"--state-dir={tmp_path}")[0] == 124

    assert "not in 2 s: no controller is known in" in capsys.readouterr().err


@pytest.mark.parametrize("code", [grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNIMPLEMENTED])
def test_refusal_ends_the_wait(fake_admin: FakeAdmin, controller: Controller, code: grpc.StatusCode) -> None:
    fake_admin.answer("GetStatus", code)

    assert controller("wait", "--for=ready=2", "echo").status == 1


def test_unknown_deployment_ends_the_wait(fake_admin: FakeAdmin, controller: Controller) -> None:
    fake_admin.answer("GetStatus", messages.healthy())

    done = controller("wait", "--for=ready=2", "nobody")

    assert (done.status, done.err) == (4, "controller: no deployment 'nobody'; there are: echo\n")


@pytest.mark.parametrize("arguments", [["echo"], ["--for=ready", "echo"], ["--for=ready=1"], ["--for=gone", "echo"]])
def test_bad_usage(arguments: list[str], controller: Controller) -> None:
    assert controller("wait", *arguments).status == 2
