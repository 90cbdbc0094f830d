"""`controller explain`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from typing import Any

from penstock.api.control.v1 import admin_pb2
from penstock_controller.cli import exit_status
from penstock_controller.cli.arguments import add_command
from penstock_controller.cli.connection import add_connection, connected
from penstock_controller.cli.presentation import TABLES, add_presentation, style_of, write, write_document
from penstock_controller.cli.render.documents import explanation_document
from penstock_controller.cli.render.explain import render_explanation


def add_parsers(commands: Any) -> None:
    parser = add_command(
        commands,
        "explain",
        help="say why a deployment has as many replicas as it has",
        description="Shows the last look of scaling at a deployment: the rule, its inputs, what keeps it from acting, "
        "the settings in force, how long each replica has been idle, and the changes before.",
        examples=["controller explain echo", "controller explain echo -o json"],
    )
    parser.add_argument(
        "deployment",
        metavar="DEPLOYMENT",
        help="model, chain (its entrypoint), CHAIN.CHAINLET, deployment id or its beginning",
    )
    add_connection(parser)
    add_presentation(parser, sortable=False)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, env: Mapping[str, str]) -> int:
    style = style_of(arguments, env)
    with connected(arguments, env) as stub:
        request = admin_pb2.ExplainDeploymentRequest(deployment=arguments.deployment)
        answer = stub.ExplainDeployment(request, timeout=arguments.timeout)
    if arguments.output in TABLES:
        write(render_explanation(answer, now_wall=time.time(), style=style))
    else:
        write_document(explanation_document(answer), arguments.output)
    return exit_status.OK
