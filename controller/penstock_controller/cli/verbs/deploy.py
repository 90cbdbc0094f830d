"""`controller deploy`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from penstock.api.control.v1 import admin_pb2
from penstock_controller.cli import exit_status
from penstock_controller.cli.arguments import add_command
from penstock_controller.cli.connection import add_connection, connected


def add_parsers(commands: Any) -> None:
    parser = add_command(
        commands,
        "deploy",
        help="make a deployment of a Truss directory",
        description=(
            "The directory must be on the machine of the controller, and is served from where it is. The environment "
            "points to it as soon as a replica is ready, production to the first deployment of a name. The same "
            "content gives the same deployment; a build of it that has failed is tried again."
        ),
        examples=["controller deploy models/echo", "controller deploy models/echo --environment staging"],
    )
    parser.add_argument("directory", metavar="DIRECTORY", type=Path, help="with config.yaml and model/model.py")
    parser.add_argument("--environment", default="", metavar="NAME", help="that is to point to it; default: none")
    parser.add_argument("--name", default="", help="default: model_name in config.yaml, else that of the directory")
    parser.add_argument("--replicas", type=int, metavar="N", help="exactly so many; default: scaled by load")
    add_connection(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, env: Mapping[str, str]) -> int:
    request = admin_pb2.CreateDeploymentRequest(
        name=arguments.name,
        source=str(arguments.directory.absolute()),
        environment=arguments.environment,
        replicas=None if arguments.replicas is None else max(0, arguments.replicas),
    )
    with connected(arguments, env) as stub:
        made = stub.CreateDeployment(request, timeout=arguments.timeout)
    print(f"{made.name}: {made.deployment_id}{' (was there already)' if made.existed else ''}")
    if made.environment:
        print(f"  {made.environment} points to it as soon as a replica is ready")
    else:
        print(f"  no environment points to it; to change that: controller promote {made.deployment_id}")
    return exit_status.OK
