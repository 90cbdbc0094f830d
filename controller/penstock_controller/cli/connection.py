"""Reaches the controller from the command line: which address, one channel, errors as text."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import grpc

from penstock.api.control.v1 import admin_pb2_grpc
from penstock.state_dir import ADDRESS_VARIABLE, STATE_DIR_VARIABLE, default_state_dir, find_controller

ANSWER_BYTES_MAX = 16 * 1024 * 1024
"""Largest answer that is taken; the server has the same limit."""

TIMEOUT_S = 5.0
"""Default time for an answer."""


def add_state_dir(parser: argparse.ArgumentParser) -> None:
    """Adds --state-dir."""
    parser.add_argument(
        "--state-dir",
        type=Path,
        metavar="DIR",
        help=f"default: ${STATE_DIR_VARIABLE}, $XDG_STATE_HOME/penstock or ~/.local/state/penstock",
    )


def add_connection(parser: argparse.ArgumentParser) -> None:
    """Adds --address, --state-dir and --timeout."""
    parser.add_argument(
        "--address", help=f"address of the controller; default: ${ADDRESS_VARIABLE}, then the state dir"
    )
    add_state_dir(parser)
    parser.add_argument(
        "--timeout", type=seconds, default=TIMEOUT_S, metavar="SECONDS", help="for an answer; default: %(default)g"
    )


def seconds(text: str) -> float:
    """Type of an argument: above 0, at most an hour."""
    value = float(text)
    if not 0 < value <= 3600:
        raise argparse.ArgumentTypeError(f"must be above 0 and at most 3600, got {text}")
    return value


@contextmanager
def admin_stub(arguments: argparse.Namespace, env: Mapping[str, str]) -> Iterator[admin_pb2_grpc.AdminServiceStub]:
    """Gives a stub of the controller that the arguments of `add_connection` name.

    Raises:
        ControllerNotFoundError: No address is known.
    """
    address = find_controller(arguments.address, arguments.state_dir, env)
    options = [("grpc.max_receive_message_length", ANSWER_BYTES_MAX), ("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(address, options=options) as channel:
        yield admin_pb2_grpc.AdminServiceStub(channel)


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
