from __future__ import annotations

import pytest

from penstock.api.control.v1 import admin_pb2
from penstock_testing.controller_command import ControllerCommand
from penstock_testing.fake_admin import FakeAdmin


@pytest.mark.parametrize(("command", "names"), [("pause", ["echo"]), ("resume", ["echo"]), ("resume", [])])
def test_what_is_paused_now_is_shown(
    fake_admin: FakeAdmin, controller: ControllerCommand, command: str, names: list[str]
) -> None:
    fake_admin.answer("PauseScaling", admin_pb2.PauseScalingResponse(paused=["echo-1", "voice-2"]))

    assert controller(command, *names).out == "paused now: echo-1, voice-2\n"
    assert fake_admin.requests["PauseScaling"] == [
        admin_pb2.PauseScalingRequest(deployment="".join(names), pause=command == "pause")
    ]


def test_a_pause_of_all_holds_for_those_to_come(fake_admin: FakeAdmin, controller: ControllerCommand) -> None:
    fake_admin.answer("PauseScaling", admin_pb2.PauseScalingResponse())

    assert controller("pause").out == "paused now: all deployments, those to come included\n"
    assert fake_admin.requests["PauseScaling"] == [admin_pb2.PauseScalingRequest(pause=True)]


def test_nothing_paused_is_said(fake_admin: FakeAdmin, controller: ControllerCommand) -> None:
    fake_admin.answer("PauseScaling", admin_pb2.PauseScalingResponse())

    assert controller("resume").out == "no deployment is paused now\n"
