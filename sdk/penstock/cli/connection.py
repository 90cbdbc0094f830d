"""Reaches the controller from the command line."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.cli.command_error import CommandError, refused_call
from penstock.state_dir import ADDRESS_VARIABLE, STATE_DIR_VARIABLE, ControllerNotFoundError, find_controller

if TYPE_CHECKING:
    from penstock.api.control.v1 import admin_pb2, admin_pb2_grpc

ANSWER_BYTES_MAX = 16 * 1024 * 1024
"""Largest answer that is taken; the server has the same limit."""
ANSWER_S = 10.0
"""Time for the answer to a question that the controller answers from memory."""

_OPTIONS = (
    ("grpc.max_receive_message_length", ANSWER_BYTES_MAX),
    ("grpc.enable_http_proxy", 0),
    # A followed log may be silent for hours: without pings a machine that is gone would never be noticed.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
)


def add_connection(parser: argparse.ArgumentParser) -> None:
    """Adds --controller and --state-dir."""
    parser.add_argument(
        "--controller",
        metavar="ADDRESS",
        default=None,
        help=f"of the controller, HOST:PORT or unix:PATH (default: ${ADDRESS_VARIABLE}, then the state dir)",
    )
    parser.add_argument(
        "--state-dir",
        type=Path,
        default=None,
        metavar="DIR",
        help=f"state folder of a controller on this machine (default: ${STATE_DIR_VARIABLE}, "
        "$XDG_STATE_HOME/penstock or ~/.local/state/penstock)",
    )


@contextmanager
def connected(
    arguments: argparse.Namespace, env: Mapping[str, str] = os.environ
) -> Iterator[admin_pb2_grpc.AdminServiceStub]:
    """Gives a stub of the controller that the arguments of `add_connection` name.

    Raises:
        CommandError: No address is known, or a call in the block failed.
    """
    import grpc

    from penstock.api.control.v1 import admin_pb2_grpc

    try:
        address = find_controller(arguments.controller, arguments.state_dir, env)
    except ControllerNotFoundError as exc:
        raise CommandError(str(exc).replace("--address", "--controller")) from None
    try:
        with grpc.insecure_channel(address, options=_OPTIONS) as channel:
            yield admin_pb2_grpc.AdminServiceStub(channel)
    except grpc.RpcError as exc:
        raise refused_call(exc, address) from exc


def get_status(stub: admin_pb2_grpc.AdminServiceStub) -> admin_pb2.GetStatusResponse:
    """Returns the state of everything; a call fails as in any block of `connected`."""
    from penstock.api.control.v1 import admin_pb2

    return stub.GetStatus(admin_pb2.GetStatusRequest(), timeout=ANSWER_S)
