"""Starts an edge: one process, or several that share the address."""

from __future__ import annotations

import os
import socket
import sys

import uvloop

from penstock.lifeline import watch_lifeline
from penstock.logs import configure_logs
from penstock_edge.config import EdgeConfig, parse_arguments
from penstock_edge.server import BACKLOG, serve
from penstock_edge.workers import run_workers


def main() -> None:
    """Entry point of the `edge` command."""
    config = parse_arguments()
    configure_logs("edge", config.log_format, config.log_level)
    try:
        listener = bind(config)
    except OSError as error:
        address = f"{config.listen_host}:{config.listen_port}"
        sys.exit(f"edge: cannot listen on {address}: {os.strerror(error.errno or 0)} (choose another with --listen)")
    if config.workers > 1 and not config.is_worker:
        sys.exit(run_workers(config, listener))
    if config.lifeline_fd is not None:
        watch_lifeline(config.lifeline_fd)
    uvloop.run(serve(config, listener))


def bind(config: EdgeConfig) -> socket.socket:
    """Binds the listening socket. Several workers bind the same address; their parent holds it without listening."""
    family = socket.AF_INET6 if ":" in config.listen_host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if config.workers > 1:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((config.listen_host, config.listen_port))
    if config.workers == 1 or config.is_worker:
        listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


if __name__ == "__main__":
    main()
