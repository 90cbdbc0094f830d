"""Reaches the controller from the command line: which address, one channel, errors as text."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from penstock.api.control.v1 import admin_pb2_grpc
from penstock.state_dir import (
    ADDRESS_VARIABLE,
    STATE_DIR_VARIABLE,
    ControllerNotFoundError,
    default_state_dir,
    find_controller,
)
from penstock_controller.cli.arguments import seconds
from penstock_controller.cli.failures import CommandError, command_error

ANSWER_BYTES_MAX = 16 * 1024 * 1024
"""Largest answer that is taken; the server has the same limit."""

TIMEOUT_S = 5.0
"""Default time for an answer."""

_OPTIONS = (
    ("grpc.max_receive_message_length", ANSWER_BYTES_MAX),
    ("grpc.enable_http_proxy", 0),
    # A followed stream may be silent for hours: without pings a machine that is gone would never be noticed.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
)


def add_state_dir(parser: argparse.ArgumentParser, *, default: Any = None) -> None:
    """Adds --state-dir."""
    parser.add_argument(
        "--state-dir",
        type=Path,
        default=default,
        metavar="DIR",
        help=f"default: ${STATE_DIR_VARIABLE}, $XDG_STATE_HOME/penstock or ~/.local/state/penstock",
    )


def add_connection(parser: argparse.ArgumentParser, *, timeout: bool = True, inherited: bool = False) -> None:
    """Adds --address, --state-dir and --timeout.

    Args:
        parser: Of a command.
        timeout: Whether --timeout is added; it is what `arguments.timeout` must be set to otherwise.
        inherited: The command stands below another one with the same options: what is given there holds here, too.
    """
    absent = argparse.SUPPRESS if inherited else None
    parser.add_argument(
        "--address", default=absent, help=f"of the controller; default: ${ADDRESS_VARIABLE}, then the state dir"
    )
    add_state_dir(parser, default=absent)
    if timeout:
        parser.add_argument(
            "--timeout",
            type=seconds,
            default=argparse.SUPPRESS if inherited else TIMEOUT_S,
            metavar="SECONDS",
            help=f"for an answer; default: {TIMEOUT_S:g}",
        )


def find_address(arguments: argparse.Namespace, env: Mapping[str, str]) -> str:
    """Returns the address of the controller that the arguments of `add_connection` name.

    Raises:
        ControllerNotFoundError: No address is known.
    """
    return find_controller(arguments.address, arguments.state_dir, env)


@contextmanager
def admin_stub(arguments: argparse.Namespace, env: Mapping[str, str]) -> Iterator[admin_pb2_grpc.AdminServiceStub]:
    """Gives a stub of the controller that the arguments of `add_connection` name.

    Raises:
        ControllerNotFoundError: No address is known.
    """
    with grpc.insecure_channel(find_address(arguments, env), options=_OPTIONS) as channel:
        yield admin_pb2_grpc.AdminServiceStub(channel)


@contextmanager
def connected(arguments: argparse.Namespace, env: Mapping[str, str]) -> Iterator[admin_pb2_grpc.AdminServiceStub]:
    """Gives a stub as `admin_stub` does, and turns the errors of its calls into text.

    Raises:
        CommandError: No address is known, or a call in the block failed.
    """
    try:
        with admin_stub(arguments, env) as stub:
            yield stub
    except ControllerNotFoundError as exc:
        raise CommandError(str(exc)) from exc
    except grpc.RpcError as exc:
        raise command_error(exc, find_address(arguments, env)) from exc


def state_dir_of(arguments: argparse.Namespace, env: Mapping[str, str]) -> Path | None:
    """Returns the state folder of the controller that is asked for; None when only an address is known."""
    if arguments.state_dir is not None:
        return Path(arguments.state_dir)
    return None if arguments.address or env.get(ADDRESS_VARIABLE) else default_state_dir(env)


def error_text(error: grpc.RpcError) -> str:
    """Says what went wrong, for people."""
    if isinstance(error, grpc.Call):
        return f"{error.code().name}: {error.details()}"
    return str(error)
