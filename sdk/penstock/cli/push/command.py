"""Carries out `penstock push`."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from penstock.api.control.v1 import admin_pb2
from penstock.cli import exit_status
from penstock.cli.command_error import CommandError
from penstock.cli.connection import connected, get_status
from penstock.cli.edges import edge_addresses
from penstock.cli.progress_line import ProgressLine
from penstock.cli.push.following import Following
from penstock.cli.push.outcome import Verdict
from penstock.cli.push.report import Pushed, render_json, render_text
from penstock.cli.push.unknown_keys import unknown_keys
from penstock.cli.push.uploading import bring
from penstock.packing import Inventory, PackError, take_inventory
from penstock.truss import ConfigError, load_config

CREATE_S = 120.0
"""Time for the controller to read the artifact's config.yaml and to write down the deployment."""


def push(arguments: argparse.Namespace) -> int:
    """Packs, sends and creates; with --wait until it serves. Returns the exit status.

    Raises:
        CommandError: Something cannot be done, or the deployment will not serve.
    """
    directory: Path = arguments.directory
    inventory = _take_inventory(directory, allow_unknown=arguments.allow_unknown_keys)
    progress = ProgressLine(sys.stderr)
    with connected(arguments) as stub:
        artifact, was_uploaded = bring(stub, inventory, progress)
        request = admin_pb2.CreateDeploymentRequest(
            name=arguments.name, artifact=artifact, environment=arguments.environment
        )
        created = stub.CreateDeployment(request, timeout=CREATE_S)
        pushed = Pushed(
            name=created.name,
            deployment_id=created.deployment_id,
            environment=created.environment,
            artifact=artifact,
            was_uploaded=was_uploaded,
            existed=created.existed,
        )
        verdict = Verdict.SERVES
        tail: list[str] = []
        if arguments.wait:
            following = Following(stub, pushed.deployment_id, pushed.environment, progress)
            verdict = following.run(arguments.timeout)
            pushed = replace(pushed, phase=following.phase, message=following.message, endpoints=following.endpoints)
            # A message of several lines has the traceback, or the last words of the build.
            is_told = "\n" in following.message
            tail = following.last_lines() if verdict is Verdict.FAILED and not is_told else []
        edges = edge_addresses(get_status(stub))
    pushed = replace(pushed, edge=edges.http)
    if arguments.output == "json":
        print(render_json(pushed))
    elif verdict is Verdict.SERVES:
        print(render_text(pushed))
    match verdict:
        case Verdict.FAILED:
            raise CommandError(_failure(pushed, tail))
        case Verdict.WAITING:
            raise CommandError(
                f"{pushed.deployment_id} does not serve after {arguments.timeout:g} s ({pushed.phase}); it goes on: "
                f"penstock logs {pushed.deployment_id} -f",
                exit_status.TIMED_OUT,
            )
        case Verdict.SERVES:
            return exit_status.OK


def _take_inventory(directory: Path, *, allow_unknown: bool) -> Inventory:
    try:
        config = load_config(directory)
        unknown = unknown_keys(config)
        if unknown and not allow_unknown:
            raise CommandError(
                "\n".join(["config.yaml has keys that nothing knows:", *(f"  {problem}" for problem in unknown)])
                + "\nCorrect them, or push with --allow-unknown-keys.",
                exit_status.USAGE,
            )
        for problem in config.warnings:
            print(f"warning: {problem}", file=sys.stderr)
        return take_inventory(directory)
    except ConfigError as exc:
        problems = "\n".join(f"  {problem}" for problem in exc.problems)
        raise CommandError(f"cannot push {directory}\n{problems}", exit_status.USAGE) from None
    except PackError as exc:
        raise CommandError(str(exc), exit_status.USAGE) from None


def _failure(pushed: Pushed, tail: list[str]) -> str:
    lines = [f"{pushed.deployment_id} will not serve ({pushed.phase}): {pushed.message or 'it gave no reason'}"]
    if tail:
        lines += ["", "The last lines of its log:", *(f"  {line}" for line in tail)]
    lines += ["", f"All of it: penstock logs {pushed.deployment_id}"]
    return "\n".join(lines)
