"""Entry point of the `controller` command. Exit statuses: see `exit_status`."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from penstock_controller.cli import exit_status
from penstock_controller.cli.failures import CommandError
from penstock_controller.cli.verbs import (
    deploy,
    deployments,
    events,
    explain,
    pause,
    promote,
    replicas,
    scale,
    serve,
    simulate,
    status,
    streams,
    wait,
)

VERBS = (serve, status, deployments, streams, explain, events, wait, deploy, scale, pause, replicas, promote, simulate)
"""In the order of --help: what runs it, what shows, what changes."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status; ends with status 2 for bad usage."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # What a locale cannot show must not end a command.
        sys.stdout.reconfigure(errors="backslashreplace")
    arguments = command_parser().parse_args(argv)
    try:
        status = int(arguments.run(arguments, os.environ))
        sys.stdout.flush()
        return status
    except CommandError as exc:
        print(f"controller: {exc}", file=sys.stderr)
        return exc.status
    except KeyboardInterrupt:
        return exit_status.INTERRUPTED
    except OSError as exc:
        # A reader of our output that has seen enough is no error worth a word.
        if not isinstance(exc, BrokenPipeError):
            print(f"controller: {exc.strerror}: {exc.filename or 'output'}", file=sys.stderr)
        # Without this the interpreter complains at its end about what cannot be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exit_status.FAILED


class _CommandList(argparse.HelpFormatter):
    """Puts each command and what it does into one line."""

    def add_argument(self, action: argparse.Action) -> None:
        super().add_argument(action)
        # Commands are indented once more than what the widths are computed from.
        self._action_max_length += self._indent_increment


class _ShowVersion(argparse.Action):
    """Looked up only when it is asked for: that reads files."""

    def __call__(self, *_: Any) -> None:
        print(f"controller {version('penstock')}")
        raise SystemExit(exit_status.OK)


def command_parser() -> argparse.ArgumentParser:
    """Returns the parser of every command."""
    parser = argparse.ArgumentParser(
        prog="controller",
        description="Runs the Penstock controller, shows what it knows, and changes what it does.",
        epilog="controller COMMAND --help tells more, with examples.",
        formatter_class=_CommandList,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_ShowVersion, nargs=0, help="show the version and end")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for verb in VERBS:
        verb.add_parsers(commands)
    return parser
