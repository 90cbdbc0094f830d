"""Carries out `penstock chains push`."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from penstock.api.control.v1 import admin_pb2, chain_pb2
from penstock.chains.chain_file import ChainFile
from penstock.chains.dry_run import dry_run_folder
from penstock.chains.errors import ChainsUsageError
from penstock.chains.generated import GeneratedChain
from penstock.chains.generating import outcome
from penstock.chains.generation import GenerationError, generate
from penstock.cli import exit_status
from penstock.cli.chains.deploying import create_chain, spec_of, upload_chain
from penstock.cli.chains.following import ChainFollowing
from penstock.cli.chains.report import WEBSOCKET_KINDS, PushedChain, PushedChainlet, render_json, render_text
from penstock.cli.command_error import CommandError
from penstock.cli.connection import connected, get_status
from penstock.cli.edges import edge_addresses
from penstock.cli.progress_line import ProgressLine
from penstock.cli.push.outcome import Verdict

PRODUCTION = "production"


def push(arguments: argparse.Namespace) -> int:
    """Generates, sends and creates; with --wait until it serves. Returns the exit status.

    Raises:
        CommandError: Something cannot be done, or a chainlet will not serve.
    """
    chain_file = chain_file_of(arguments.file, arguments.entrypoint, arguments.name)
    if arguments.dryrun:
        return _dry_run(chain_file, is_json=arguments.output == "json")
    environment = arguments.environment or (PRODUCTION if arguments.promote else "")
    with tempfile.TemporaryDirectory(prefix="penstock-chain-") as folder:
        chain = generated(chain_file, Path(folder))
        progress = ProgressLine(sys.stderr)
        with connected(arguments) as stub:
            artifacts = upload_chain(stub, chain, progress)
            created = create_chain(stub, spec_of(chain, environment=environment, artifacts=artifacts))
            pushed = _pushed(created, chain)
            verdict, following = Verdict.SERVES, None
            if arguments.wait:
                following = ChainFollowing(stub, created, progress)
                verdict = following.run(arguments.timeout)
                pushed = _followed(pushed, following)
            tails = _tails(following) if following is not None and verdict is Verdict.FAILED else {}
            pushed = _placed(pushed, get_status(stub))
    if arguments.output == "json":
        print(render_json(pushed))
    elif verdict is Verdict.SERVES:
        print(render_text(pushed))
    match verdict:
        case Verdict.FAILED:
            raise CommandError(_failure(pushed, tails))
        case Verdict.WAITING:
            late = ", ".join(f"{each.name} ({each.phase})" for each in pushed.chainlets)
            raise CommandError(
                f"{pushed.chain_id} does not serve after {arguments.timeout:g} s; it goes on: {late}\n"
                f"penstock logs {pushed.entrypoint.deployment_id} -f",
                exit_status.TIMED_OUT,
            )
        case Verdict.SERVES:
            return exit_status.OK


def chain_file_of(file: Path, entrypoint: str | None, name: str | None) -> ChainFile:
    """Checks what the command line names.

    Raises:
        CommandError: There is no such file.
    """
    if file.is_dir():
        raise CommandError(f"{file} is a folder; give the Python file of the chain", exit_status.USAGE)
    if not file.is_file():
        raise CommandError(f"there is no file {file}", exit_status.USAGE)
    return ChainFile(file.resolve(), entrypoint, name)


def generated(chain: ChainFile, folder: Path) -> GeneratedChain:
    """Writes the Trusses into `folder`, and shows what the file prints and what is doubtful.

    Raises:
        CommandError: The chain breaks a rule.
    """
    try:
        found = asyncio.run(generate(chain, folder))
    except GenerationError as exc:
        if exc.output:
            print(exc.output, file=sys.stderr)
        raise CommandError(f"{chain.file.name} cannot be deployed\n{exc}", exit_status.USAGE) from None
    if found.output:
        print(found.output, file=sys.stderr)
    for warning in found.chain.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return found.chain


def _dry_run(chain_file: ChainFile, *, is_json: bool) -> int:
    try:
        folder = dry_run_folder(chain_file.name or chain_file.file.stem)
    except ChainsUsageError as exc:
        raise CommandError(str(exc)) from None
    chain = generated(chain_file, folder)
    if is_json:
        print(json.dumps(outcome(chain), indent=2))
        return exit_status.OK
    lines = [f"{chain.name}: nothing was sent; these are the Trusses of its chainlets:"]
    lines += [f"  {each.directory}" + ("  (entrypoint)" if each.is_entrypoint else "") for each in chain.chainlets]
    print("\n".join(lines))
    return exit_status.OK


def _pushed(created: chain_pb2.CreatedChain, chain: GeneratedChain) -> PushedChain:
    return PushedChain(
        name=created.name,
        chain_id=created.chain_id,
        environment=created.environment,
        existed=created.existed,
        kind=chain.entrypoint.kind,
        example="" if chain.entrypoint.kind in WEBSOCKET_KINDS else chain.entrypoint.example,
        chainlets=tuple(
            PushedChainlet(each.name, each.deployment_id, each.is_entrypoint) for each in created.chainlets
        ),
    )


def _placed(pushed: PushedChain, status: admin_pb2.GetStatusResponse) -> PushedChain:
    """Adds where it is called; of a version that was there already, an environment that points to it."""
    entrypoint = pushed.entrypoint.deployment_id
    pointing = [name for d in status.deployments if d.deployment_id == entrypoint for name in d.environments]
    environment = pushed.environment or (PRODUCTION if PRODUCTION in pointing else "".join(pointing[:1]))
    return replace(
        pushed,
        edge=edge_addresses(status).http,
        environment=environment,
        is_pointed_to=pushed.has_waited or environment in pointing,
    )


def _followed(pushed: PushedChain, following: ChainFollowing) -> PushedChain:
    chainlets = tuple(
        replace(each, phase=following.chainlets[each.name].phase, message=following.chainlets[each.name].message)
        for each in pushed.chainlets
    )
    return replace(pushed, chainlets=chainlets, has_waited=True)


def _tails(following: ChainFollowing) -> dict[str, list[str]]:
    # A message of several lines has the traceback, or the last words of the build.
    untold = [name for name in following.failed if "\n" not in following.chainlets[name].message]
    return {name: following.chainlets[name].last_lines() for name in untold}


def _failure(pushed: PushedChain, tails: dict[str, list[str]]) -> str:
    lines = [f"{pushed.chain_id} will not serve"]
    for each in pushed.chainlets:
        if not each.message and each.name not in tails:
            continue
        lines.append(f"{each.name} ({each.phase}): {each.message or 'it gave no reason'}")
        if tail := tails.get(each.name):
            lines += ["", "The last lines of its log:", *(f"  {line}" for line in tail)]
        lines += ["", f"All of it: penstock logs {each.deployment_id}"]
    return "\n".join(lines)
