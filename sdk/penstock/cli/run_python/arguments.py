"""Command line of `penstock run-python`."""

from __future__ import annotations

import argparse
from pathlib import Path

from penstock.state_dir import STATE_DIR_VARIABLE

_EPILOG = """\
examples:
  penstock run-python check.py --dir mymodel
  penstock run-python mymodel/tools/quantize.py --dir mymodel --bits 4
  penstock run-python --dir mymodel -- -c "import numpy; print(numpy.__version__)"

The script has what the model has: the packages of `requirements` (installed first where they are not there yet), the
model's own folders to import from, environment_variables, secrets as TRUSS_SECRET_NAME, and the Truss directory as the
working directory. What stands behind SCRIPT is passed to it; --dir is ours until then.

exit status: that of the script, or
  1    the environment cannot be built
  2    wrong use: the command line, the folder or its config.yaml
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the subcommand `run-python`."""
    parser = subparsers.add_parser(
        "run-python",
        help="run a script in the environment of a model",
        description="Runs Python as a replica of the model would: with its packages, variables and secrets.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="penstock run-python [--dir DIR] [--state-dir DIR] SCRIPT [ARGS...]",
    )
    parser.add_argument("--dir", type=Path, default=None, metavar="DIR", help="Truss directory (default: this folder)")
    parser.add_argument(
        "--state-dir",
        type=Path,
        default=None,
        metavar="DIR",
        help=f"its environments are used (default: ${STATE_DIR_VARIABLE}, $XDG_STATE_HOME/penstock or "
        "~/.local/state/penstock)",
    )
    parser.add_argument("script", nargs=argparse.REMAINDER, metavar="SCRIPT [ARGS...]", help="script, and what it gets")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carries out `penstock run-python`."""
    from penstock.cli.run_python.command import run_python

    return run_python(arguments)
