from __future__ import annotations

import argparse

import grpc
import pytest

from penstock.api.control.v1 import admin_pb2
from penstock.cli import exit_status
from penstock.cli.command_error import CommandError
from penstock.cli.connection import connected, get_status
from penstock_testing.fake_admin import FakeAdmin, refusal

NOWHERE = "127.0.0.1:1"


def ask(address: str) -> CommandError:
    arguments = argparse.Namespace(controller=address, state_dir=None)
    with pytest.raises(CommandError) as failed, connected(arguments, {}) as stub:
        get_status(stub)
    return failed.value


@pytest.mark.parametrize(
    ("code", "text", "status"),
    [
        (grpc.StatusCode.NOT_FOUND, "no deployment 'x'", exit_status.NOT_FOUND),
        (grpc.StatusCode.INVALID_ARGUMENT, "name: too long", exit_status.FAILED),
        (grpc.StatusCode.INTERNAL, "a defect of the controller", exit_status.FAILED),
        (grpc.StatusCode.CANCELLED, "it is going away", exit_status.FAILED),
    ],
)
def test_refusals_say_what_and_what_to_do(
    admin: FakeAdmin, controller: str, code: grpc.StatusCode, text: str, status: int
) -> None:
    admin.answer("GetStatus", refusal(code, text))
    error = ask(controller)
    assert text in str(error)
    assert error.status == status


def test_an_older_controller_is_told(admin: FakeAdmin, controller: str) -> None:
    assert "it is older than this program" in str(ask(controller))


def test_a_controller_that_is_gone_is_told() -> None:
    assert f"no answer from the controller at {NOWHERE}" in str(ask(NOWHERE))


def test_an_answer_passes(admin: FakeAdmin, controller: str) -> None:
    admin.answer("GetStatus", admin_pb2.GetStatusResponse())
    with connected(argparse.Namespace(controller=controller, state_dir=None), {}) as stub:
        assert get_status(stub) == admin_pb2.GetStatusResponse()
