"""`controller status`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from typing import Any

from penstock.api.control.v1 import admin_pb2
from penstock_controller.cli import exit_status
from penstock_controller.cli.arguments import add_command, duration
from penstock_controller.cli.connection import add_connection, state_dir_of
from penstock_controller.cli.failures import CommandError
from penstock_controller.cli.looking import UnreachableError, get_status
from penstock_controller.cli.offline import still_serving
from penstock_controller.cli.presentation import TABLES, add_presentation, style_of, write, write_document
from penstock_controller.cli.render.documents import status_document
from penstock_controller.cli.render.offline import offline_document, render_offline
from penstock_controller.cli.render.selection import NotFoundError, only
from penstock_controller.cli.render.status import render_status, sort_titles
from penstock_controller.cli.render.verdict import Verdict, verdict
from penstock_controller.cli.status_watch import watch

INTERVAL_S = 1.0

_CHECKED = {Verdict.HEALTHY: exit_status.OK, Verdict.UNAVAILABLE: exit_status.NOT_FOUND}


def add_parsers(commands: Any) -> None:
    parser = add_command(
        commands,
        "status",
        help="show deployments, replicas, edges and streams",
        description="Shows what is deployed, what serves, and why there are as many replicas as there are. Exit "
        "status: 0 shown, 1 the controller cannot be reached, 2 usage, 4 there is no such deployment. With --check "
        "also 3 when something is wrong or the controller recovers, and 4 when a deployment does not serve.",
        examples=[
            "controller status",
            "controller status echo -o wide",
            "controller status --watch",
            "controller status --check --quiet",
            "controller status --replicas --sort-by=-streams",
            "controller status --watch -o jsonl",
        ],
    )
    parser.add_argument(
        "deployments",
        nargs="*",
        metavar="DEPLOYMENT",
        help="model, chain, deployment id or its beginning; default: all",
    )
    add_connection(parser)
    add_presentation(parser)
    parser.add_argument("--replicas", action="store_true", help="show every replica, however many there are")
    parser.add_argument("--watch", action="store_true", help="go on; off a terminal as one JSON object per change")
    parser.add_argument(
        "--interval",
        type=duration(0.1, 3600),
        default=INTERVAL_S,
        metavar="TIME",
        help="between two looks of --watch; default: %(default)g",
    )
    parser.add_argument("--check", action="store_true", help="exit with 3 or 4 unless everything is healthy")
    parser.add_argument("-q", "--quiet", action="store_true", help="print no status; implies --check")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, env: Mapping[str, str]) -> int:
    style = style_of(arguments, env, sortable=sort_titles())
    if arguments.watch:
        watch(arguments, env)
    try:
        status = only(get_status(arguments, env, arguments.timeout), arguments.deployments)
    except UnreachableError as exc:
        return _offline(arguments, env, exc)
    except NotFoundError as exc:
        raise CommandError(str(exc), exit_status.NOT_FOUND) from exc
    if not arguments.quiet:
        if arguments.output in TABLES:
            with_replicas = arguments.replicas or bool(arguments.deployments)
            write(render_status(status, now_wall=time.time(), style=style, with_replicas=with_replicas))
        else:
            write_document(status_document(status), arguments.output)
    return _checked(status) if arguments.check or arguments.quiet else exit_status.OK


def _checked(status: admin_pb2.GetStatusResponse) -> int:
    return _CHECKED.get(verdict(status), exit_status.DEGRADED)


def _offline(arguments: argparse.Namespace, env: Mapping[str, str], error: UnreachableError) -> int:
    """Tells what serves without the controller: for people on stderr, as the status itself is not to be had."""
    state_dir = state_dir_of(arguments, env)
    runners = [] if state_dir is None else still_serving(state_dir)
    if arguments.output not in TABLES:
        write_document(
            offline_document(runners, None if state_dir is None else str(state_dir), str(error)), arguments.output
        )
    elif state_dir is not None:
        style = style_of(arguments, env, sortable=sort_titles(), out=sys.stderr)
        write(render_offline(runners, str(state_dir), style=style) + "\n\n", sys.stderr)
    raise error
