"""`controller pause` and `controller resume`."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Mapping
from typing import Any

from penstock.api.control.v1 import admin_pb2
from penstock_controller.cli import exit_status
from penstock_controller.cli.arguments import add_command
from penstock_controller.cli.connection import add_connection, connected


def add_parsers(commands: Any) -> None:
    _add(
        commands,
        pause=True,
        help_line="stop scaling, and keep the replicas there are",
        description=(
            "The number of replicas stays as it is; those that die are still started again. Streams do not notice."
        ),
        examples=("controller pause echo", "controller pause"),
    )
    _add(
        commands,
        pause=False,
        help_line="scale again after a pause",
        description="Scaling goes on from the load of now.",
        examples=("controller resume echo", "controller resume"),
    )


def _add(commands: Any, *, pause: bool, help_line: str, description: str, examples: tuple[str, ...]) -> None:
    name = "pause" if pause else "resume"
    parser = add_command(commands, name, help=help_line, description=description, examples=examples)
    parser.add_argument(
        "deployment",
        nargs="?",
        default="",
        metavar="DEPLOYMENT",
        help="id, its unambiguous beginning, or model name; default: all, those to come included",
    )
    add_connection(parser)
    parser.set_defaults(run=functools.partial(run, pause))


def run(pause: bool, arguments: argparse.Namespace, env: Mapping[str, str]) -> int:
    request = admin_pb2.PauseScalingRequest(deployment=arguments.deployment, pause=pause)
    with connected(arguments, env) as stub:
        answer = stub.PauseScaling(request, timeout=arguments.timeout)
    if pause and not arguments.deployment:
        print("paused now: all deployments, those to come included")
    elif answer.paused:
        print(f"paused now: {', '.join(answer.paused)}")
    else:
        print("no deployment is paused now")
    return exit_status.OK
