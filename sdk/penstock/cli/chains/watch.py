"""Carries out `penstock chains watch`."""

from __future__ import annotations

import argparse
import asyncio
import os
from pathlib import Path

from penstock.chains.chain_file import ChainFile
from penstock.chains.generated import GeneratedChain
from penstock.chains.generation import GenerationError, generate
from penstock.cli import exit_status
from penstock.cli.chains.chain_watch import ChainWatch, Watched
from penstock.cli.chains.deploying import spec_of
from penstock.cli.chains.push import chain_file_of
from penstock.cli.chains.report import call_line
from penstock.cli.command_error import CommandError
from penstock.cli.up.admin import Admin, AdminError
from penstock.cli.up.start_watch import StartWatch
from penstock.state_dir import (
    ControllerNotFoundError,
    StateDirError,
    default_state_dir,
    find_controller,
    prepare_state_dir,
)

FOLDER = "watched_chains"
"""Below the state folder: the Trusses of chainlets. `penstock up` has another one."""


def watch(arguments: argparse.Namespace) -> int:
    """Deploys the chain, and takes over what is saved, until it is interrupted. Returns the exit status.

    Raises:
        CommandError: There is no such file, no controller, or it refuses the chain.
    """
    source = chain_file_of(arguments.file, arguments.entrypoint, arguments.name)
    try:
        address = find_controller(arguments.controller, arguments.state_dir, os.environ)
        state_dir = prepare_state_dir(arguments.state_dir or default_state_dir(os.environ))
    except ControllerNotFoundError as exc:
        raise CommandError(str(exc).replace("--address", "--controller")) from None
    except StateDirError as exc:
        raise CommandError(str(exc)) from None
    watched = Watched(source=source, folder=state_dir / FOLDER / source.folder_name, environment=arguments.environment)
    try:
        asyncio.run(_watch(address, watched))
    except AdminError as exc:
        raise CommandError(str(exc)) from None
    except KeyboardInterrupt:
        _tell("the watch has ended; the chain goes on serving")
    return exit_status.OK


async def _watch(address: str, watched: Watched) -> None:
    start = StartWatch([watched.source.file.parent])
    chain = await _generated(watched.source, watched.folder, start)
    admin = Admin(address)
    try:
        version = await admin.create_chain(spec_of(chain, environment=watched.environment))
        _tell(f"{chain.name}: version {version.chain_id} starts for the environment {watched.environment}")

        async def on_live() -> None:
            _tell(f"{chain.name}: call it with: {call_line(chain.name, watched.environment, '')}")

        watching = ChainWatch(
            admin,
            watched,
            chain=chain,
            version=version,
            is_coming=True,
            read=start.begun(watched.source.file.parent),
            note=_tell,
            on_version=lambda _: None,
            on_live=on_live,
        )
        await watching.run()
    finally:
        await admin.close()


async def _generated(source: ChainFile, folder: Path, start: StartWatch) -> GeneratedChain:
    """Generates the chain; a mistake is told, and the next save tried."""
    while True:
        await start.begin()
        try:
            found = await generate(source, folder)
        except GenerationError as exc:
            if exc.output:
                _tell(exc.output)
            _tell(f"{source.file.name} cannot be deployed; waiting for a file to be saved\n{exc}")
            _tell(f"{await start.wait()} was saved; trying again")
            continue
        for warning in found.chain.warnings:
            _tell(f"warning: {warning}")
        return found.chain


def _tell(text: str) -> None:
    print(text, flush=True)
