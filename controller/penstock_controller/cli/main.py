"""Entry point of the `controller` command.

Exit statuses: 0 done, 1 failed (for `status`: the controller cannot be reached), 2 usage, 3 not healthy (`status
--check`).
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import grpc

from penstock.api.control.v1 import admin_pb2, admin_pb2_grpc
from penstock.logs import LOG_FORMATS, LOG_LEVELS, configure_logs
from penstock.state_dir import (
    ADDRESS_VARIABLE,
    STATE_DIR_VARIABLE,
    ControllerNotFoundError,
    StateDirError,
    default_state_dir,
    find_controller,
)
from penstock_controller.cli.offline import render_offline, still_serving
from penstock_controller.cli.render import Verdict, render_json, render_table, verdict
from penstock_controller.serving import ServeError, ServeOptions, serve, software_version

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_DEGRADED = 3

ANSWER_BYTES_MAX = 16 * 1024 * 1024
"""Largest status that is taken; the server has the same limit."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status; ends with status 2 for bad usage."""
    arguments = _parser().parse_args(argv)
    try:
        if arguments.command == "serve":
            return _serve(arguments, os.environ)
        return _status(arguments, os.environ)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output has seen enough; without this the interpreter complains at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="controller", description="Runs the Penstock controller, and shows what it knows.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"controller {software_version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    served = commands.add_parser("serve", help="run the controller", allow_abbrev=False)
    _add_state_dir(served)
    served.add_argument(
        "--listen", metavar="ADDRESS", help="host:port or unix:/path; default: a socket in the state dir"
    )
    served.add_argument("--insecure", action="store_true", help="allow an address that other machines can reach")
    served.add_argument("--lifeline-fd", type=int, metavar="FD", help="end when this pipe ends")
    served.add_argument("--log-format", choices=LOG_FORMATS, default="json", help="default: %(default)s")
    served.add_argument("--log-level", choices=LOG_LEVELS, default="info", help="default: %(default)s")

    status = commands.add_parser(
        "status",
        help="show deployments, replicas, edges and streams",
        description="Exit status: 0 shown, 1 the controller cannot be reached, 2 usage, 3 not healthy (with --check).",
        allow_abbrev=False,
    )
    status.add_argument(
        "--address", help=f"address of the controller; default: ${ADDRESS_VARIABLE}, then the state dir"
    )
    _add_state_dir(status)
    status.add_argument("-o", "--output", choices=("table", "json"), default="table", help="default: %(default)s")
    status.add_argument("--timeout", type=_seconds, default=5.0, metavar="SECONDS", help="default: %(default)g")
    status.add_argument("--check", action="store_true", help="exit with status 3 unless everything is healthy")
    return parser


def _add_state_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--state-dir",
        type=Path,
        metavar="DIR",
        help=f"default: ${STATE_DIR_VARIABLE}, $XDG_STATE_HOME/penstock or ~/.local/state/penstock",
    )


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value <= 3600:
        raise argparse.ArgumentTypeError(f"must be above 0 and at most 3600, got {text}")
    return value


def _serve(arguments: argparse.Namespace, env: Mapping[str, str]) -> int:
    configure_logs("controller", arguments.log_format, arguments.log_level)
    options = ServeOptions(
        state_dir=arguments.state_dir or default_state_dir(env),
        listen=arguments.listen,
        lifeline_fd=arguments.lifeline_fd,
        insecure=arguments.insecure,
    )
    try:
        return serve(options)
    except (ServeError, StateDirError) as exc:
        print(f"controller: {exc}", file=sys.stderr)
        return EXIT_FAILED


def _status(arguments: argparse.Namespace, env: Mapping[str, str]) -> int:
    state_dir = _state_dir_of(arguments, env)
    try:
        address = find_controller(arguments.address, arguments.state_dir, env)
    except ControllerNotFoundError as exc:
        print(f"controller: {exc}", file=sys.stderr)
        return _offline(state_dir)
    try:
        status = _get_status(address, arguments.timeout)
    except grpc.RpcError as exc:
        print(f"controller: no answer from the controller at {address}: {_detail(exc)}", file=sys.stderr)
        return _offline(state_dir)
    if arguments.output == "json":
        print(render_json(status))
    else:
        print(render_table(status, now_wall=time.time()), end="")
    return EXIT_DEGRADED if arguments.check and verdict(status) is not Verdict.HEALTHY else EXIT_OK


def _state_dir_of(arguments: argparse.Namespace, env: Mapping[str, str]) -> Path | None:
    """Returns the state folder of the controller that is asked for; None when only an address is known."""
    if arguments.state_dir is not None:
        return Path(arguments.state_dir)
    return None if arguments.address or env.get(ADDRESS_VARIABLE) else default_state_dir(env)


def _get_status(address: str, timeout_s: float) -> admin_pb2.GetStatusResponse:
    options = [("grpc.max_receive_message_length", ANSWER_BYTES_MAX), ("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(address, options=options) as channel:
        return admin_pb2_grpc.AdminServiceStub(channel).GetStatus(admin_pb2.GetStatusRequest(), timeout=timeout_s)


def _detail(error: grpc.RpcError) -> str:
    if isinstance(error, grpc.Call):
        return f"{error.code().name}: {error.details()}"
    return str(error)


def _offline(state_dir: Path | None) -> int:
    if state_dir is not None:
        print(render_offline(still_serving(state_dir), state_dir), file=sys.stderr)
    return EXIT_FAILED
