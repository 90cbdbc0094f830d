"""Command line of the runner."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from penstock.logs import LOG_FORMATS, LogFormat

DRAIN_TIMEOUT_DEFAULT_S = 3600.0
"""A stream is promised an hour (truss.md section 1.6)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says; paths are absolute."""

    model_dir: Path
    replica_id: str
    deployment_id: str
    deployment_name: str
    environment: str | None
    controller: str | None
    listen: str
    lifeline_fd: int | None
    run_file: Path | None
    drain_timeout_s: float
    log_format: LogFormat


def parse_options(arguments: Sequence[str] | None = None) -> Options:
    """Reads the command line; ends the process with status 2 and a message when it is wrong."""
    parser = argparse.ArgumentParser(
        prog="runner",
        description="Loads one Truss model and serves its streams. Usually started by the controller.",
        epilog="Exit status: 0 after a drain (SIGTERM), 1 when the model cannot be loaded, 2 for a wrong command line, "
        "143 when a second SIGTERM cuts the drain short.",
        allow_abbrev=False,
    )
    parser.add_argument("--model-dir", type=Path, required=True, metavar="DIR", help="Truss directory (config.yaml)")
    parser.add_argument("--replica-id", type=_name, required=True, metavar="ID")
    parser.add_argument("--deployment-id", type=_name, required=True, metavar="ID")
    parser.add_argument("--deployment-name", type=_name, metavar="NAME", help="for logs (default: the deployment id)")
    parser.add_argument("--environment", type=_name, metavar="ENV", help="what the model gets as environment['name']")
    parser.add_argument(
        "--controller",
        type=_name,
        metavar="ADDRESS",
        help="host:port or unix:/path; without it the runner serves alone",
    )
    parser.add_argument(
        "--listen",
        type=_address,
        default="127.0.0.1:0",
        metavar="HOST:PORT",
        help="trunk address (default: %(default)s)",
    )
    parser.add_argument("--lifeline-fd", type=int, metavar="FD", help="pipe whose end ends this process at once")
    parser.add_argument("--run-file", type=Path, metavar="PATH", help="JSON file to write once the runner listens")
    parser.add_argument(
        "--drain-timeout",
        type=_seconds,
        default=DRAIN_TIMEOUT_DEFAULT_S,
        metavar="SECONDS",
        help="time for open streams after SIGTERM (default: %(default)g)",
    )
    parser.add_argument("--log-format", choices=LOG_FORMATS, help="default: text on a terminal, json otherwise")
    parsed = parser.parse_args(arguments)
    log_format = parsed.log_format or ("text" if sys.stderr.isatty() else "json")
    return Options(
        model_dir=parsed.model_dir.resolve(),
        replica_id=parsed.replica_id,
        deployment_id=parsed.deployment_id,
        deployment_name=parsed.deployment_name or parsed.deployment_id,
        environment=parsed.environment,
        controller=parsed.controller,
        listen=parsed.listen,
        lifeline_fd=parsed.lifeline_fd,
        run_file=None if parsed.run_file is None else parsed.run_file.absolute(),
        drain_timeout_s=parsed.drain_timeout,
        log_format=cast(LogFormat, log_format),
    )


def _name(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise argparse.ArgumentTypeError("must not be empty nor hold control characters")
    return text


def _address(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or not 0 <= int(port) <= 65535:
        raise argparse.ArgumentTypeError(f"must be HOST:PORT with a port from 0 to 65535, got {text!r}")
    return text


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise argparse.ArgumentTypeError(f"must be a number of seconds from 0, got {text!r}")
    return value
