"""`controller wait`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from penstock_controller.cli import exit_status
from penstock_controller.cli.arguments import add_command, duration
from penstock_controller.cli.awaited import Awaited
from penstock_controller.cli.connection import TIMEOUT_S, add_connection
from penstock_controller.cli.failures import CommandError
from penstock_controller.cli.looking import UnreachableError, get_status
from penstock_controller.cli.render.selection import NotFoundError, one

WAIT_S = 300.0
LOOK_FIRST_S = 0.2
LOOK_LAST_S = 1.0
"""Between two looks: begins short, and doubles up to the last."""


def add_parsers(commands: Any) -> None:
    parser = add_command(
        commands,
        "wait",
        help="wait until a deployment is ready, empty or drained",
        description="Waits until a deployment has at least N replicas ready (ready=N), at most N streams open "
        "(streams=N) or waiting (waiting=N), or no draining replica (drained). A controller that does not answer is "
        "tried again. Exit status: 0 it holds, 2 usage, 4 there is no such deployment, 124 it did not hold in time.",
        examples=[
            "controller wait --for=ready=2 echo",
            "controller wait --for=streams=0 --timeout 1h echo-0a1b2c3d",
            "controller wait --for=drained echo",
        ],
    )
    parser.add_argument(
        "deployment",
        metavar="DEPLOYMENT",
        help="model, chain (its entrypoint), CHAIN.CHAINLET, deployment id or its beginning",
    )
    add_connection(parser, timeout=False)
    parser.add_argument(
        "--for",
        dest="awaited",
        type=_awaited,
        required=True,
        metavar="CONDITION",
        help="ready=N, streams=N, waiting=N or drained",
    )
    parser.add_argument(
        "--timeout",
        type=duration(0.1, 7 * 86400),
        default=WAIT_S,
        metavar="TIME",
        help="seconds, or with s, m, h or d; default: %(default)g",
    )
    parser.set_defaults(run=run)


def run(
    arguments: argparse.Namespace,
    env: Mapping[str, str],
    *,
    clock: Callable[[], float] = time.monotonic,
    rest: Callable[[float], None] = time.sleep,
) -> int:
    deadline = clock() + arguments.timeout
    pause = LOOK_FIRST_S
    while True:
        left = deadline - clock()
        missing = _look(arguments, env, min(TIMEOUT_S, max(left, LOOK_FIRST_S)))
        if not missing:
            return exit_status.OK
        left = deadline - clock()
        if left <= 0:
            print(f"controller: {arguments.deployment}: not in {arguments.timeout:g} s: {missing}", file=sys.stderr)
            return exit_status.TIMED_OUT
        rest(min(pause, left))
        pause = min(2 * pause, LOOK_LAST_S)


def _look(arguments: argparse.Namespace, env: Mapping[str, str], timeout_s: float) -> str:
    """Returns what is missing, "" when nothing is."""
    awaited: Awaited = arguments.awaited
    try:
        status = get_status(arguments, env, timeout_s)
        return awaited.missing(status, one(status, arguments.deployment))
    except UnreachableError as exc:
        return str(exc)
    except NotFoundError as exc:
        raise CommandError(str(exc), exit_status.NOT_FOUND) from exc


def _awaited(text: str) -> Awaited:
    try:
        return Awaited.parse(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(str(exc)) from exc
