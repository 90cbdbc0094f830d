"""`controller serve`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any

from penstock.logs import LOG_FORMATS, LOG_LEVELS, configure_logs
from penstock.state_dir import StateDirError, default_state_dir
from penstock_controller.cli import exit_status
from penstock_controller.cli.arguments import add_command
from penstock_controller.cli.connection import add_state_dir


def add_parsers(commands: Any) -> None:
    parser = add_command(
        commands,
        "serve",
        help="run the controller",
        description=(
            "Runs the controller in the foreground, until SIGTERM or Ctrl-C; replicas live on, and the next controller "
            "of the same state folder adopts them. `penstock up` starts one by itself."
        ),
        examples=["controller serve", "controller serve --state-dir state --listen 127.0.0.1:9000 --log-level debug"],
    )
    add_state_dir(parser)
    parser.add_argument(
        "--listen", metavar="ADDRESS", help="host:port or unix:/path; default: a socket in the state dir"
    )
    parser.add_argument("--insecure", action="store_true", help="allow an address that other machines can reach")
    parser.add_argument("--lifeline-fd", type=int, metavar="FD", help="end when this pipe ends")
    parser.add_argument("--log-format", choices=LOG_FORMATS, default="json", help="default: %(default)s")
    parser.add_argument("--log-level", choices=LOG_LEVELS, default="info", help="default: %(default)s")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace, env: Mapping[str, str]) -> int:
    # The other commands start in half the time without what only the controller itself needs.
    from penstock_controller.serving import ServeError, ServeOptions, serve

    configure_logs("controller", arguments.log_format, arguments.log_level)
    options = ServeOptions(
        state_dir=arguments.state_dir or default_state_dir(env),
        listen=arguments.listen,
        lifeline_fd=arguments.lifeline_fd,
        insecure=arguments.insecure,
    )
    try:
        return serve(options)
    except (ServeError, StateDirError) as exc:
        print(f"controller: {exc}", file=sys.stderr)
        return exit_status.FAILED
