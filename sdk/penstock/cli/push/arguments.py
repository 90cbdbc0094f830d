"""Command line of `penstock push`."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

from penstock.cli.connection import add_connection

TIMEOUT_S = 1800.0

_EPILOG = """\
examples:
  penstock push mymodel                            a deployment of its own, beside those there are
  penstock push mymodel --promote --wait           into production, once a replica is ready; returns then
  penstock push mymodel --environment staging
  penstock push mymodel --wait --output json

What .truss_ignore names is left out. Code that the controller has already is not sent again. Without --promote and
--environment only the deployment's own address leads to it; the first deployment of a name goes into production.
Roll back: `controller promote OLD_DEPLOYMENT`.

exit status:
  0    pushed; with --wait: it serves
  1    it could not be pushed, or (with --wait) will not serve: the reason is printed
  2    wrong use: the command line, the folder or its config.yaml
  124  --timeout is over; the deployment goes on
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the subcommand `push`."""
    parser = subparsers.add_parser(
        "push",
        help="bring a model to a running controller",
        description="Packs a Truss directory, sends it to the controller, and makes a deployment of it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "directory", type=Path, metavar="DIR", nargs="?", default=Path(), help="Truss directory (default: this folder)"
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--promote",
        dest="environment",
        action="store_const",
        const="production",
        help="production points to it as soon as a replica is ready",
    )
    where.add_argument(
        "--environment", metavar="ENVIRONMENT", help="this environment points to it as soon as a replica is ready"
    )
    parser.add_argument(
        "--name", default="", metavar="NAME", help="name of the model (default: model_name in config.yaml)"
    )
    parser.add_argument("--wait", action="store_true", help="return when it serves, or will not")
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=TIMEOUT_S,
        metavar="SECONDS",
        help="for --wait (default: %(default)g)",
    )
    parser.add_argument(
        "--allow-unknown-keys", action="store_true", help="push although config.yaml has keys that nothing knows"
    )
    parser.add_argument(
        "-o", "--output", choices=("text", "json"), default="text", help="what stdout gets (default: %(default)s)"
    )
    add_connection(parser)
    parser.set_defaults(run=run, environment="")


def run(arguments: argparse.Namespace) -> int:
    """Carries out `penstock push`."""
    # grpc takes a tenth of a second to import, and `penstock --help` needs none of it.
    from penstock.cli.push.command import push

    return push(arguments)


def seconds(text: str) -> float:
    """Reads a number of seconds from the command line."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= 1e6:
        raise argparse.ArgumentTypeError(f"must be seconds above 0, at most 1000000, got {text!r}")
    return value
