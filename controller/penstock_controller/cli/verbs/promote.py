"""`controller promote`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from typing import Any

import grpc

from penstock.api.control.v1 import admin_pb2, admin_pb2_grpc
from penstock_controller.cli import exit_status
from penstock_controller.cli.arguments import add_command, duration
from penstock_controller.cli.connection import TIMEOUT_S, add_connection, connected
from penstock_controller.cli.failures import CommandError
from penstock_controller.cli.quantities import counted, span, to_duration
from penstock_controller.cli.render.wording import headline

DEADLINE_S_MAX = 30 * 86400.0
WAIT_S = 600.0
WAIT_S_MAX = 86400.0

POLL_S_MIN, POLL_S_MAX = 0.2, 1.0


def add_parsers(commands: Any) -> None:
    parser = add_command(
        commands,
        "promote",
        help="point an environment at a deployment (also to roll back)",
        description=(
            "New streams of the environment go to the deployment as soon as it has a ready replica; open streams stay "
            "where they are until they end, or until --deadline. To roll back, promote the deployment from before. A "
            "chain is promoted as a whole, once every chainlet has a ready replica."
        ),
        examples=[
            "controller promote echo-1a2b3c4d",
            "controller promote echo-1a2b3c4d --environment staging --dry-run",
            "controller promote echo-1a2b3c4d --deadline 1h --wait --timeout 10m",
        ],
    )
    parser.add_argument(
        "deployment", metavar="DEPLOYMENT", help="id, its unambiguous beginning, or name of a model or chain"
    )
    parser.add_argument("--environment", default="production", metavar="NAME", help="default: %(default)s")
    parser.add_argument(
        "--deadline",
        type=duration(0, DEADLINE_S_MAX),
        metavar="SECONDS",
        help="time for streams on the deployment before (600, 10m, 1h), at most 30d; then they are ended with 1012. "
        "Default: all they want",
    )
    parser.add_argument(
        "--now", action="store_true", help="do not wait until a replica is ready: new streams wait for it instead"
    )
    parser.add_argument("--wait", action="store_true", help="return when the environment points to the deployment")
    parser.add_argument("--dry-run", action="store_true", help="only show what would happen")
    parser.add_argument(
        "--timeout",
        type=duration(0.1, WAIT_S_MAX),
        metavar="SECONDS",
        help=f"for an answer, default {TIMEOUT_S:g}; with --wait for all of it, default {WAIT_S:g}, "
        f"then exit status {exit_status.TIMED_OUT}",
    )
    add_connection(parser, timeout=False)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, env: Mapping[str, str]) -> int:
    started = time.monotonic()
    answer_s = TIMEOUT_S if arguments.wait or arguments.timeout is None else arguments.timeout
    request = admin_pb2.PromoteDeploymentRequest(
        deployment=arguments.deployment,
        environment=arguments.environment,
        deadline=None if arguments.deadline is None else to_duration(arguments.deadline),
        at_once=arguments.now,
        dry_run=arguments.dry_run,
    )
    with connected(arguments, env) as stub:
        answer = stub.PromoteDeployment(request, timeout=answer_s)
        print(render(answer, deadline_s=arguments.deadline, dry_run=arguments.dry_run), end="", flush=True)
        if answer.pending and arguments.wait and not arguments.dry_run:
            _wait(stub, answer, started + (arguments.timeout or WAIT_S))
            print(f"{answer.environment} of {answer.name} points to {answer.to_deployment_id}")
    return exit_status.OK


def render(answer: admin_pb2.PromoteDeploymentResponse, *, deadline_s: float | None, dry_run: bool) -> str:
    """Says what the promotion does to new streams and to open ones."""
    where = f"{answer.environment} of {answer.name}"
    if answer.from_deployment_id == answer.to_deployment_id and not answer.pending:
        return f"{where} points to {answer.to_deployment_id} already\n"
    verb = "would point" if dry_run else "will point" if answer.pending else "points"
    to = answer.to_deployment_id
    if answer.chainlets > 1:
        to += f" and its {counted(answer.chainlets - 1, 'other chainlet')}"
    awaited = "once each has a ready replica" if answer.chainlets > 1 else "once a replica is ready"
    lines = [f"{where} {verb} to {to}" + (f" {awaited}" if answer.pending else "")]
    if not answer.from_deployment_id or answer.from_deployment_id == answer.to_deployment_id:
        return lines[0] + "\n"
    before = answer.from_deployment_id
    lines.append(f"  before: {before}, which takes new streams until then" if answer.pending else f"  before: {before}")
    if answer.open_streams:
        until = "until they end"
        if deadline_s is not None:
            until = f"for at most {span(deadline_s)}, then they are ended with 1012" if deadline_s else ""
        streams = counted(answer.open_streams, "open stream")
        stay = "stays" if answer.open_streams == 1 else "stay"
        lines.append(
            f"  {streams} {stay} on it {until}" if until else f"  {streams} on it will be ended with 1012 at once"
        )
    if not dry_run:
        lines.append(f"  to roll back: controller promote {before} --environment {answer.environment}")
    return "\n".join(lines) + "\n"


def _wait(stub: admin_pb2_grpc.AdminServiceStub, answer: admin_pb2.PromoteDeploymentResponse, ends_at: float) -> None:
    pause = POLL_S_MIN
    while True:
        try:
            missing = _missing(stub.GetStatus(admin_pb2.GetStatusRequest(), timeout=TIMEOUT_S), answer)
        except grpc.RpcError as exc:
            # A controller that restarts goes on with the promotion.
            if not isinstance(exc, grpc.Call) or exc.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            missing = "the controller does not answer"
        if missing is None:
            return
        left = ends_at - time.monotonic()
        if left <= 0:
            raise CommandError(f"{missing}; the promotion goes on when it is", exit_status.TIMED_OUT)
        time.sleep(min(pause, left))
        pause = min(pause * 1.5, POLL_S_MAX)


def _missing(status: admin_pb2.GetStatusResponse, answer: admin_pb2.PromoteDeploymentResponse) -> str | None:
    """What the promotion waits for; None when it is done.

    Raises:
        CommandError: It will not happen any more.
    """
    found = next((d for d in status.deployments if d.deployment_id == answer.to_deployment_id), None)
    if found is not None and answer.environment in found.environments:
        return None
    if found is None or found.pending_environment != answer.environment:
        raise CommandError(
            f"{answer.environment} will not point to {answer.to_deployment_id}: "
            "the promotion was taken back, or another one took its place"
        )
    members = [d for d in status.deployments if found.HasField("chain") and d.chain.chain_id == found.chain.chain_id]
    waits = next((d for d in members or [found] if not d.ready_replicas), found)
    why = headline(waits)
    return f"{waits.deployment_id} has no ready replica yet" + (f" ({why})" if why else "")
