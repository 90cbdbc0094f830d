"""Asks before something is done that clients will notice."""

from __future__ import annotations

import argparse
import sys

from penstock_controller.cli.failures import CommandError


def add_consent(parser: argparse.ArgumentParser) -> None:
    """Adds --dry-run and --yes."""
    parser.add_argument("--dry-run", action="store_true", help="only show what would happen")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def ask(what: str, arguments: argparse.Namespace) -> None:
    """Asks on the terminal whether to go on, unless --yes was given.

    Args:
        what: What will happen; one line.
        arguments: With `yes`.

    Raises:
        CommandError: The answer is no, or there is no terminal to ask on.
    """
    if arguments.yes:
        return
    if not sys.stdin.isatty():
        raise CommandError(f"{what} Nothing was done: there is no terminal to ask on. Say --yes to do it.")
    print(f"{what} Continue? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise CommandError("nothing was done")
