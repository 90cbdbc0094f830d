"""`controller drain`, `undrain`, `cordon` and `uncordon`."""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Mapping
from typing import Any

from penstock.api.control.v1 import admin_pb2, admin_pb2_grpc
from penstock_controller.cli import exit_status
from penstock_controller.cli.arguments import add_command, duration
from penstock_controller.cli.connection import add_connection, connected
from penstock_controller.cli.consent import add_consent, ask
from penstock_controller.cli.failures import CommandError
from penstock_controller.cli.quantities import counted, span, to_duration
from penstock_controller.cli.render.wording import printable
from penstock_controller.cli.table import table

GRACE_S_MAX = 7 * 86400.0

NAMES_MAX = 1000
"""Replicas and deployments in one request."""

_VERBS = (
    (
        "drain",
        admin_pb2.REPLICA_CHANGE_DRAIN,
        "let replicas finish their streams, and replace them",
        "The replicas take no new streams, and end when their open ones are over; others take their place. With "
        "--grace, streams that are left after it are ended with 1012 (come back at once), spread over its last part.",
        ("controller drain echo-1a2b3c4d-x7k2q", "controller drain echo --grace 10m --dry-run"),
    ),
    (
        "undrain",
        admin_pb2.REPLICA_CHANGE_UNDRAIN,
        "let draining replicas take streams again",
        "Takes a drain back, as long as the replica's process lives.",
        ("controller undrain echo-1a2b3c4d-x7k2q",),
    ),
    (
        "cordon",
        admin_pb2.REPLICA_CHANGE_CORDON,
        "make replicas the last choice for new streams",
        "New streams go to other replicas as long as these have free slots; open streams stay.",
        ("controller cordon echo-1a2b3c4d-x7k2q --dry-run",),
    ),
    (
        "uncordon",
        admin_pb2.REPLICA_CHANGE_UNCORDON,
        "take a cordon back",
        "The replicas get new streams again like all others.",
        ("controller uncordon echo",),
    ),
)


def add_parsers(commands: Any) -> None:
    for name, change, help_line, description, examples in _VERBS:
        parser = add_command(commands, name, help=help_line, description=description, examples=examples)
        parser.add_argument(
            "replicas",
            nargs="+",
            metavar="REPLICA|DEPLOYMENT",
            help="id of a replica, its unambiguous beginning or end; or a deployment, for all of its replicas",
        )
        if name == "drain":
            parser.add_argument(
                "--grace",
                type=duration(0, GRACE_S_MAX),
                metavar="SECONDS",
                help="time for open streams (60, 10m, 1h), at most 7d; default: all they want",
            )
        add_consent(parser)
        add_connection(parser)
        parser.set_defaults(run=functools.partial(run, change), grace=None)


def run(change: admin_pb2.ReplicaChange.ValueType, arguments: argparse.Namespace, env: Mapping[str, str]) -> int:
    if len(arguments.replicas) > NAMES_MAX:
        raise CommandError(f"at most {NAMES_MAX} replicas and deployments may be named", exit_status.USAGE)
    with connected(arguments, env) as stub:
        if arguments.grace is not None and not arguments.dry_run:
            _ask(_changed(stub, change, arguments, dry_run=True), arguments)
        answer = _changed(stub, change, arguments, dry_run=arguments.dry_run)
    print(render(answer), end="")
    if arguments.dry_run:
        print("nothing was done (--dry-run)", file=sys.stderr)
    return exit_status.OK


def _changed(
    stub: admin_pb2_grpc.AdminServiceStub,
    change: admin_pb2.ReplicaChange.ValueType,
    arguments: argparse.Namespace,
    *,
    dry_run: bool,
) -> admin_pb2.ChangeReplicasResponse:
    grace = None if arguments.grace is None else to_duration(arguments.grace)
    request = admin_pb2.ChangeReplicasRequest(change=change, replicas=arguments.replicas, grace=grace, dry_run=dry_run)
    answer: admin_pb2.ChangeReplicasResponse = stub.ChangeReplicas(request, timeout=arguments.timeout)
    return answer


def _ask(preview: admin_pb2.ChangeReplicasResponse, arguments: argparse.Namespace) -> None:
    streams = sum(replica.active_streams for replica in preview.replicas)
    if streams == 0 or arguments.yes:
        return
    print(render(preview), end="", file=sys.stderr)
    when = f"those left after {span(arguments.grace)}" if arguments.grace else "they"
    ask(
        f"{counted(len(preview.replicas), 'replica')}, {counted(streams, 'stream')}; {when} are ended with 1012.",
        arguments,
    )


def render(answer: admin_pb2.ChangeReplicasResponse) -> str:
    """Returns a row per replica."""
    if not answer.replicas:
        return "no replica\n"
    rows = [
        (r.replica_id, r.deployment_id, str(r.active_streams), printable(r.outcome) or "-") for r in answer.replicas
    ]
    return table(("REPLICA", "DEPLOYMENT", "STREAMS", "OUTCOME"), rows, right={"STREAMS"}) + "\n"
