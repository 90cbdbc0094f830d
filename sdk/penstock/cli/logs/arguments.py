"""Command line of `penstock logs`."""

from __future__ import annotations

import argparse

from penstock.cli.connection import add_connection

TAIL_LINES = 200
TAIL_LINES_MAX = 100_000

_EPILOG = """\
examples:
  penstock logs mymodel                  the last lines of every replica of mymodel, and of its build
  penstock logs mymodel -f               the same, and what they go on to write
  penstock logs mymodel-0123abcd-x5d2a   of one replica
  penstock logs mymodel --build          only what its build has written

A line begins with the short name of its replica where there are several. Lines that are JSON are shown as
"time LEVEL event key=value"; --raw leaves them as they are.

exit status:
  0    shown
  1    the controller cannot be reached
  4    there is no such deployment or replica
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the subcommand `logs`."""
    parser = subparsers.add_parser(
        "logs",
        help="show what a model writes",
        description="Shows what the replicas and the build of a deployment have written.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("target", metavar="NAME", help="model, deployment or replica")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what is written from now on")
    parser.add_argument(
        "--tail",
        type=_lines,
        default=TAIL_LINES,
        metavar="N",
        help=f"lines of each log from its end, 1 to {TAIL_LINES_MAX} (default: %(default)s)",
    )
    parser.add_argument("--build", action="store_true", help="only the log of the build")
    parser.add_argument("--raw", action="store_true", help="lines as they were written")
    add_connection(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carries out `penstock logs`."""
    from penstock.cli.logs.command import show_logs

    return show_logs(arguments)


def _lines(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= TAIL_LINES_MAX:
        raise argparse.ArgumentTypeError(f"must be a number from 1 to {TAIL_LINES_MAX}, got {text!r}")
    return int(text)
