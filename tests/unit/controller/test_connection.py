from __future__ import annotations

import argparse
from pathlib import Path

import grpc
import pytest

from penstock.api.control.v1 import admin_pb2
from penstock_controller.cli.connection import add_connection, connected, error_text, state_dir_of
from penstock_controller.cli.failures import CommandError
from penstock_testing.fake_admin import FakeAdmin, served


def arguments(*given: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_connection(parser)
    return parser.parse_args(given)


def test_calls_reach_the_named_controller() -> None:
    admin = FakeAdmin()
    admin.answer("GetStatus", admin_pb2.GetStatusResponse(controller=admin_pb2.ControllerStatus(epoch=7)))

    with served(admin) as address, connected(arguments("--address", address), {}) as stub:
        assert stub.GetStatus(admin_pb2.GetStatusRequest(), timeout=10).controller.epoch == 7


def test_failed_call_is_told_with_the_address() -> None:
    with (
        served(FakeAdmin()) as address,
        pytest.raises(CommandError, match=f"the controller at {address} does not know this command"),
        connected(arguments("--address", address), {}) as stub,
    ):
        stub.GetStatus(admin_pb2.GetStatusRequest(), timeout=10)


def test_missing_controller_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(CommandError, match="no controller is known in"),
        connected(arguments("--state-dir", str(tmp_path)), {}),
    ):
        pytest.fail("there is no stub")


def test_options_below_another_command_keep_what_was_given_above() -> None:
    parser = argparse.ArgumentParser()
    add_connection(parser)
    add_connection(parser.add_subparsers().add_parser("close"), inherited=True)

    above = parser.parse_args(["--address", "a", "--timeout", "7", "close"])
    below = parser.parse_args(["close", "--address", "a", "--timeout", "7"])

    assert (above.address, above.timeout) == (below.address, below.timeout) == ("a", 7.0)
    assert parser.parse_args(["close"]).timeout == 5.0


def test_state_folder_is_known_unless_only_an_address_is(tmp_path: Path) -> None:
    env = {"PENSTOCK_STATE_DIR": str(tmp_path)}

    assert state_dir_of(arguments(), env) == tmp_path
    assert state_dir_of(arguments("--state-dir", "here"), env) == Path("here")
    assert state_dir_of(arguments("--address", "a"), env) is None
    assert state_dir_of(arguments(), env | {"PENSTOCK_CONTROLLER": "a"}) is None


def test_error_that_is_no_answer_is_its_text() -> None:
    assert error_text(grpc.RpcError("odd")) == "odd"
