"""Command line of an edge."""

from __future__ import annotations

import argparse
import ipaddress
import re
from dataclasses import dataclass

from penstock.logs import LOG_FORMATS, LOG_LEVELS, LogFormat


@dataclass(frozen=True, slots=True)
class EdgeConfig:
    """Everything an edge process is told. Times in seconds."""

    listen_host: str
    listen_port: int
    """0 picks a free port."""
    grpc_listen: str | None
    """"host:port", or None when gRPC is off."""
    inner_listen: str | None
    """"host:port" for trunks of runners, or None when they are not served."""
    controller: str | None
    static: tuple[tuple[str, str], ...]
    """Names and addresses of a fixed set of runners, instead of a controller."""
    workers: int
    drain_timeout_s: float
    lifeline_fd: int | None
    ready_file: str | None
    log_format: LogFormat
    log_level: str
    tls_cert: str | None
    """PEM file with the certificate chain; None serves without TLS."""
    tls_key: str | None
    is_worker: bool
    """This process is one of several that share the address, started by another edge process."""


def parse_address(text: str) -> tuple[str, int]:
    """Splits "host:port"; raises argparse's error with what is expected."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not re.fullmatch(r"\d{1,5}", port) or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"expected HOST:PORT with a port from 0 to 65535, got {text!r}")
    return host.strip("[]"), int(port)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _grpc_address(text: str) -> str:
    if text != "off":
        parse_address(text)
    return text


def _static(text: str) -> tuple[str, str]:
    name, equals, address = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"expected NAME=HOST:PORT, got {text!r}")
    parse_address(address)
    return name, address


def _positive(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= 256:
        raise argparse.ArgumentTypeError(f"expected a number from 1 to 256, got {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 86_400:
        raise argparse.ArgumentTypeError(f"expected seconds from 0 to 86400, got {text!r}")
    return value


def parse_arguments(arguments: list[str] | None = None) -> EdgeConfig:
    """Reads the command line; ends the process with status 2 and a message when it is wrong."""
    parser = argparse.ArgumentParser(
        prog="edge",
        description="Terminates WebSocket and gRPC streams of clients and carries them to runners.",
    )
    parser.add_argument(
        "--listen",
        type=parse_address,
        default=("127.0.0.1", 8000),
        metavar="HOST:PORT",
        help="address for WebSocket and HTTP; port 0 picks one (default 127.0.0.1:8000)",
    )
    parser.add_argument(
        "--grpc-listen",
        type=_grpc_address,
        default="off",
        metavar="HOST:PORT|off",
        help="address for gRPC; port 0 picks one (default off)",
    )
    parser.add_argument(
        "--inner-listen",
        type=_grpc_address,
        default="127.0.0.1:0",
        metavar="HOST:PORT|off",
        help="address for calls between chainlets, which runners make; port 0 picks one; of several workers, each "
        "takes the next port (default 127.0.0.1:0)",
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--controller", metavar="ADDRESS", help='controller to follow: "host:port" or "unix:/path"')
    source.add_argument(
        "--static",
        type=_static,
        action="append",
        metavar="NAME=HOST:PORT",
        help="serve the runner at HOST:PORT as model NAME, without a controller; may be repeated",
    )
    parser.add_argument(
        "--workers",
        type=_positive,
        default=1,
        metavar="N",
        help="processes that share the address, 1 to 256 (default 1)",
    )
    parser.add_argument(
        "--drain-timeout",
        type=_seconds,
        default=3600.0,
        metavar="SECONDS",
        help="time for open streams after SIGTERM (default 3600)",
    )
    parser.add_argument("--tls-cert", metavar="FILE", help="serve wss and https with this PEM certificate chain")
    parser.add_argument("--tls-key", metavar="FILE", help="private key of --tls-cert, PEM")
    parser.add_argument(
        "--insecure",
        action="store_true",
        help="allow addresses that other machines can reach, although clients are not authenticated",
    )
    parser.add_argument("--ready-file", metavar="FILE", help="write addresses and pid as JSON here when serving")
    parser.add_argument("--lifeline-fd", type=int, metavar="FD", help="end at once when this pipe ends")
    parser.add_argument("--log-format", choices=LOG_FORMATS, default="json", help="form of logs (default json)")
    parser.add_argument(
        "--log-level",
        choices=LOG_LEVELS,
        default="info",
        help="least level that is logged (default info)",
    )
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    inner_port = 0 if given.inner_listen == "off" else parse_address(given.inner_listen)[1]
    if inner_port + given.workers - 1 > 65535 and inner_port:
        parser.error(f"--inner-listen: {given.workers} workers need as many ports from {inner_port} on, up to 65535")
    if (given.tls_cert is None) != (given.tls_key is None):
        parser.error("--tls-cert and --tls-key go together")
    for option, address in (
        ("--listen", given.listen),
        ("--grpc-listen", given.grpc_listen),
        ("--inner-listen", given.inner_listen),
    ):
        host = address[0] if isinstance(address, tuple) else address.rpartition(":")[0].strip("[]")
        if address != "off" and not given.insecure and not _is_loopback(host):
            parser.error(
                f"{option} {host} can be reached by other machines, and clients are not authenticated: "
                "listen on 127.0.0.1, or add --insecure if that is meant"
            )
    return EdgeConfig(
        listen_host=given.listen[0],
        listen_port=given.listen[1],
        grpc_listen=None if given.grpc_listen == "off" else given.grpc_listen,
        inner_listen=None if given.inner_listen == "off" else given.inner_listen,
        controller=given.controller,
        static=tuple(given.static or ()),
        workers=given.workers,
        drain_timeout_s=given.drain_timeout,
        lifeline_fd=given.lifeline_fd,
        ready_file=given.ready_file,
        log_format=given.log_format,
        log_level=given.log_level,
        tls_cert=given.tls_cert,
        tls_key=given.tls_key,
        is_worker=given.worker,
    )
