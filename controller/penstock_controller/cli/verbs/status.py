"""`controller status`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc

from penstock.api.control.v1 import admin_pb2
from penstock.state_dir import ControllerNotFoundError
from penstock_controller.cli import exit_status
from penstock_controller.cli.connection import add_connection, admin_stub, error_text, state_dir_of
from penstock_controller.cli.offline import render_offline, still_serving
from penstock_controller.cli.render import Verdict, render_json, render_table, verdict


def add_parsers(commands: Any) -> None:
    parser = commands.add_parser(
        "status",
        help="show deployments, replicas, edges and streams",
        description="Exit status: 0 shown, 1 the controller cannot be reached, 2 usage, 3 not healthy (with --check).",
        allow_abbrev=False,
    )
    add_connection(parser)
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table", help="default: %(default)s")
    parser.add_argument("--check", action="store_true", help="exit with status 3 unless everything is healthy")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, env: Mapping[str, str]) -> int:
    state_dir = state_dir_of(arguments, env)
    try:
        with admin_stub(arguments, env) as stub:
            status = stub.GetStatus(admin_pb2.GetStatusRequest(), timeout=arguments.timeout)
    except ControllerNotFoundError as exc:
        print(f"controller: {exc}", file=sys.stderr)
        return _offline(state_dir)
    except grpc.RpcError as exc:
        print(f"controller: no answer from the controller: {error_text(exc)}", file=sys.stderr)
        return _offline(state_dir)
    if arguments.output == "json":
        print(render_json(status))
    else:
        print(render_table(status, now_wall=time.time()), end="")
    degraded = arguments.check and verdict(status) is not Verdict.HEALTHY
    return exit_status.DEGRADED if degraded else exit_status.OK


def _offline(state_dir: Path | None) -> int:
    if state_dir is not None:
        print(render_offline(still_serving(state_dir), state_dir), file=sys.stderr)
    return exit_status.FAILED
