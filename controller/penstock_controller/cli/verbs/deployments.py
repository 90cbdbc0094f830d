"""`controller deployments`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from typing import Any

from penstock_controller.cli import exit_status
from penstock_controller.cli.arguments import add_command
from penstock_controller.cli.connection import add_connection
from penstock_controller.cli.failures import CommandError
from penstock_controller.cli.looking import get_status
from penstock_controller.cli.presentation import TABLES, add_presentation, style_of, write, write_document
from penstock_controller.cli.render.deployments import COLUMNS, render_deployments
from penstock_controller.cli.render.documents import deployments_document
from penstock_controller.cli.render.selection import NotFoundError, only


def add_parsers(commands: Any) -> None:
    parser = add_command(
        commands,
        "deployments",
        help="list deployments, the newest of each model first",
        description="Lists deployments: which environments point to them, and whether they are superseded.",
        examples=["controller deployments", "controller deployments echo -o json", "controller deployments --quiet"],
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="model, chain, deployment id or its beginning; default: all"
    )
    add_connection(parser)
    add_presentation(parser)
    parser.add_argument("-q", "--quiet", action="store_true", help="only the ids")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, env: Mapping[str, str]) -> int:
    style = style_of(arguments, env, sortable={column.title for column in COLUMNS})
    try:
        status = only(get_status(arguments, env, arguments.timeout), arguments.names)
    except NotFoundError as exc:
        raise CommandError(str(exc), exit_status.NOT_FOUND) from exc
    if arguments.quiet:
        write("".join(f"{d.deployment_id}\n" for d in status.deployments))
    elif arguments.output in TABLES:
        write(render_deployments(status, now_wall=time.time(), style=style))
    else:
        write_document(deployments_document(status), arguments.output)
    return exit_status.OK
