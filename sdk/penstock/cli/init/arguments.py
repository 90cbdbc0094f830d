"""Command line of `penstock init`."""

from __future__ import annotations

import argparse
from pathlib import Path

_EPILOG = """\
examples:
  penstock init mymodel                  a model that clients talk to over a WebSocket
  penstock init mymodel --predict        a model that answers requests
  penstock init . --name shouter         in this folder, under another name

Nothing is ever overwritten.

exit status:
  0    made
  2    wrong use, or a file is there already
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the subcommand `init`."""
    parser = subparsers.add_parser(
        "init",
        help="make a new model",
        description="Makes a Truss directory with a small model that runs as it is.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("directory", type=Path, metavar="DIR", help="folder to make, or to put the files into")
    parser.add_argument("--name", metavar="NAME", help="model_name in config.yaml (default: the name of the folder)")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(
        "--websocket", dest="kind", action="store_const", const="websocket", help="called by WebSocket (the default)"
    )
    kind.add_argument("--predict", dest="kind", action="store_const", const="predict", help="called by requests")
    parser.set_defaults(run=run, kind="websocket")


def run(arguments: argparse.Namespace) -> int:
    """Carries out `penstock init`."""
    from penstock.cli.init.command import init
    from penstock.scaffold import Kind

    print(init(arguments.directory, arguments.name, Kind(arguments.kind)))
    return 0
