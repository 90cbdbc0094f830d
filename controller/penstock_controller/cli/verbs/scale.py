"""`controller scale`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

from penstock.api.control.v1 import admin_pb2
from penstock_controller.cli import exit_status
from penstock_controller.cli.arguments import add_command, whole
from penstock_controller.cli.connection import add_connection, connected
from penstock_controller.cli.failures import CommandError

REPLICAS_MAX = 10_000
CONCURRENCY_MAX = 1_000_000

_CHANGEABLE = ("min_replica", "max_replica", "max_concurrency")


def add_parsers(commands: Any) -> None:
    parser = add_command(
        commands,
        "scale",
        help="change how a deployment is scaled, or fix its number of replicas",
        description=(
            "Changes how a deployment is scaled, until --auto takes it back to its config.yaml. No open stream is "
            "ended by it: a replica that is no longer needed goes once it is empty."
        ),
        examples=[
            "controller scale echo --min 1 --max 5",
            "controller scale echo --max-concurrency 16 --dry-run",
            "controller scale echo --replicas 3",
            "controller scale echo --auto",
        ],
    )
    parser.add_argument("deployment", metavar="DEPLOYMENT", help="id, its unambiguous beginning, or model name")
    parser.add_argument(
        "--replicas",
        type=whole(0, REPLICAS_MAX),
        metavar="N",
        help=f"exactly so many instead of scaling, 0 to {REPLICAS_MAX}",
    )
    parser.add_argument(
        "--min", type=whole(0, REPLICAS_MAX), metavar="N", help=f"least replicas, 0 to {REPLICAS_MAX}; ends --replicas"
    )
    parser.add_argument(
        "--max", type=whole(1, REPLICAS_MAX), metavar="N", help=f"most replicas, 1 to {REPLICAS_MAX}; ends --replicas"
    )
    parser.add_argument(
        "--max-concurrency",
        type=whole(1, CONCURRENCY_MAX),
        metavar="N",
        help=f"streams of one replica, 1 to {CONCURRENCY_MAX}; replicas above it keep their streams",
    )
    parser.add_argument("--auto", action="store_true", help="scale by load again, as config.yaml says")
    parser.add_argument("--dry-run", action="store_true", help="only show what would change")
    add_connection(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, env: Mapping[str, str]) -> int:
    request = _request(arguments)
    with connected(arguments, env) as stub:
        answer = stub.ScaleDeployment(request, timeout=arguments.timeout)
    print(render(answer, dry_run=arguments.dry_run), end="")
    return exit_status.OK


def _request(arguments: argparse.Namespace) -> admin_pb2.ScaleDeploymentRequest:
    bounds = {
        "min_replica": arguments.min,
        "max_replica": arguments.max,
        "max_concurrency": arguments.max_concurrency,
    }
    given = {name: value for name, value in bounds.items() if value is not None}
    kinds = [arguments.replicas is not None, arguments.auto, bool(given)]
    if sum(kinds) == 0:
        raise CommandError("say what to change: --replicas, --auto, or --min, --max, --max-concurrency", 2)
    if arguments.auto and sum(kinds) > 1:
        raise CommandError("--auto takes everything back, and may not stand beside others", exit_status.USAGE)
    if arguments.replicas is not None and ("min_replica" in given or "max_replica" in given):
        raise CommandError(
            "--replicas is a fixed number, --min and --max are for scaling: give one of them", exit_status.USAGE
        )
    if arguments.min is not None and arguments.max is not None and arguments.min > arguments.max:
        raise CommandError(f"--min {arguments.min} is above --max {arguments.max}", exit_status.USAGE)
    return admin_pb2.ScaleDeploymentRequest(
        deployment=arguments.deployment,
        replicas=arguments.replicas,
        automatic=arguments.auto,
        dry_run=arguments.dry_run,
        **given,
    )


def render(answer: admin_pb2.ScaleDeploymentResponse, *, dry_run: bool) -> str:
    """Returns what changes, one line each."""
    changes = list(_changes(answer.before, answer.after))
    if not changes:
        return f"{answer.deployment_id}: nothing {'would change' if dry_run else 'changed'}\n"
    width = max(len(name) for name, _, _ in changes)
    lines = [f"{answer.deployment_id}: {'would change' if dry_run else 'changed'}"]
    lines += [f"  {name.ljust(width)}  {before} -> {after}" for name, before, after in changes]
    return "\n".join(lines) + "\n"


def _changes(before: admin_pb2.ScalingState, after: admin_pb2.ScalingState) -> Iterator[tuple[str, object, object]]:
    mode = _mode(before), _mode(after)
    if mode[0] != mode[1]:
        yield "replicas", *mode
    for name in _CHANGEABLE:
        values = getattr(before.autoscaling, name), getattr(after.autoscaling, name)
        if values[0] != values[1]:
            yield name, *values
    if before.target_replicas != after.target_replicas:
        yield "wanted now", before.target_replicas, after.target_replicas


def _mode(state: admin_pb2.ScalingState) -> str:
    return f"fixed at {state.manual_replicas}" if state.HasField("manual_replicas") else "by load"
