"""Command line of `penstock up`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from penstock.cli.up.options import DRAIN_TIMEOUT_DEFAULT_S, REPLICAS_MAX, UsageError, resolve_options

_EPILOG = f"""\
examples:
  penstock up                          serve the model in this folder
  penstock up models/echo models/asr   serve two models
  penstock up --watch mymodel          take over what is saved, while it serves
  penstock up my_chain.py              serve a chain; my_chain.py:OtherEntrypoint picks its entrypoint
  penstock up --replicas 3 --listen 127.0.0.1:0 --ready-file ready.json

Ctrl-C stops: new streams are refused, open ones may finish for --drain-timeout seconds (then they are closed with
1012), and every process ends. A second Ctrl-C ends everything at once.

With --watch a saved file below model/ or packages/ is live in under a second: loaded weights stay loaded, open streams
stay on the code that they began with. config.yaml, requirements and what needs a restart become a new deployment, which
takes over when it is ready. What cannot be used is told, and the old code goes on serving.

exit status:
  0    stopped by Ctrl-C or SIGTERM after it was ready
  1    a model could not be loaded, or a process could not be kept running
  2    wrong use: the command line, a folder or its config.yaml, a chain that breaks a rule
  130  interrupted before it was ready, or by a second Ctrl-C

environment:
  PENSTOCK_STATE_DIR   default of --state-dir (otherwise $XDG_STATE_HOME/penstock or ~/.local/state/penstock)
  NO_COLOR             set to anything for no colours

Replicas per model: 1 to {REPLICAS_MAX}.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the subcommand `up`."""
    parser = subparsers.add_parser(
        "up",
        help="serve models and chains on this machine",
        description="Serves Truss models and chains on this machine: starts a controller, an edge and a runner per "
        "replica, and prints the address of each when all of them are ready.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "paths",
        nargs="*",
        metavar="PATH",
        help="Truss directory: a folder with config.yaml and model/model.py (default: this folder); or the Python file "
        "of a chain",
    )
    parser.add_argument(
        "--listen",
        metavar="HOST:PORT",
        default="127.0.0.1:8000",
        help="address for WebSocket and HTTP; port 0 picks a free one (default: %(default)s)",
    )
    parser.add_argument(
        "--grpc-listen",
        metavar="HOST:PORT",
        default=None,
        help="address for gRPC, or 'off' (default: the host of --listen with the next port, or a free one when that "
        "is taken)",
    )
    parser.add_argument(
        "--replicas",
        metavar="N",
        help="exactly so many replicas of each model or chainlet (default: by load, as penstock.autoscaling in "
        "config.yaml says)",
    )
    parser.add_argument(
        "--state-dir", metavar="DIR", default=None, help="folder of the controller's state and the logs"
    )
    parser.add_argument(
        "--ready-file",
        metavar="FILE",
        default=None,
        help="written as JSON when every replica is ready; removed at the start and at the end",
    )
    parser.add_argument(
        "--drain-timeout",
        metavar="SECONDS",
        default=str(DRAIN_TIMEOUT_DEFAULT_S),
        help="time for open streams after Ctrl-C (default: %(default)s)",
    )
    parser.add_argument("--watch", action="store_true", help="take over files that are saved")
    parser.add_argument(
        "--insecure",
        action="store_true",
        help="allow --listen and --grpc-listen to be reachable from other machines, without authentication",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Carries out `penstock up`."""
    try:
        options = resolve_options(
            paths=arguments.paths,
            listen=arguments.listen,
            grpc_listen=arguments.grpc_listen,
            replicas=arguments.replicas,
            state_dir=arguments.state_dir,
            ready_file=arguments.ready_file,
            drain_timeout=arguments.drain_timeout,
            insecure=arguments.insecure,
            watch=arguments.watch,
            cwd=Path.cwd(),
            env=os.environ,
        )
    except UsageError as exc:
        print(f"penstock up: {exc}", file=sys.stderr)
        return 2
    # grpc takes a tenth of a second to import, and `penstock --help` needs none of it.
    from penstock.cli.up.command import run_up

    return run_up(options)
