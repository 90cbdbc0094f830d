"""Entry point of the `controller` command. Exit statuses: see `exit_status`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from penstock_controller.cli import exit_status
from penstock_controller.cli.verbs import serve, status
from penstock_controller.serving import software_version

VERBS = (serve, status)
"""In the order of --help."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status; ends with status 2 for bad usage."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.run(arguments, os.environ))
    except KeyboardInterrupt:
        return exit_status.INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has seen enough; without this the interpreter complains at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exit_status.FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="controller", description="Runs the Penstock controller, and shows what it knows.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"controller {software_version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for verb in VERBS:
        verb.add_parsers(commands)
    return parser
