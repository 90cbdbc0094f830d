"""Entry of the `penstock` command: picks the subcommand."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version

from penstock.cli import exit_status
from penstock.cli.argument_parser import ArgumentParser
from penstock.cli.call import arguments as call
from penstock.cli.chains import arguments as chains
from penstock.cli.command_error import CommandError, ReaderGoneError
from penstock.cli.init import arguments as init
from penstock.cli.logs import arguments as logs
from penstock.cli.push import arguments as push
from penstock.cli.run_python import arguments as run_python
from penstock.cli.up import arguments as up

_SUBCOMMANDS: tuple[Callable[[argparse._SubParsersAction[argparse.ArgumentParser]], None], ...] = (
    init.add_parser,
    up.add_parser,
    call.add_parser,
    push.add_parser,
    logs.add_parser,
    chains.add_parser,
    run_python.add_parser,
)
"""Each adds its parser, with the default `run`: a function of the parsed arguments that returns the exit status.

What they import when `penstock --help` is typed must be light: heavy imports belong into `run`.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status: see penstock.cli.exit_status."""
    parser = build_parser()
    arguments = parser.parse_args(argv)
    if arguments.run is None:
        parser.print_help()
        return exit_status.OK
    try:
        status: int = arguments.run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return exit_status.INTERRUPTED
    except CommandError as exc:
        print(f"penstock {arguments.command}: {exc}", file=sys.stderr)
        return exc.status
    except (BrokenPipeError, ReaderGoneError):
        # The interpreter would complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exit_status.FAILED
    return status


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser of the whole command line."""
    parser: argparse.ArgumentParser = ArgumentParser(
        prog="penstock",
        description="Real-time, bidirectional model inference on your own machines.",
        epilog="`penstock COMMAND --help` shows examples and exit statuses. Operators use `controller --help`.",
    )
    parser.add_argument("--version", action="version", version=f"penstock {_version()}")
    parser.set_defaults(run=None)
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    for add_parser in _SUBCOMMANDS:
        add_parser(subparsers)
    return parser


def _version() -> str:
    try:
        return version("penstock")
    except PackageNotFoundError:
        return "unknown"


if __name__ == "__main__":
    sys.exit(main())
