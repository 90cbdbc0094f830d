"""Whether an address can be listened at."""

from __future__ import annotations

import os
import socket

from penstock.cli.up.host_port import HostPort


def listen_problem(address: HostPort) -> str | None:
    """Returns why nothing can listen at `address` now; None when something can.

    Asked before the edge is started: it sets SO_REUSEPORT, and would otherwise share the port of another edge unseen.
    """
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as exc:
        return f"{address.host} is not an address of this machine ({exc.strerror or exc})"
    family, kind, protocol, _, place = found[0]
    with socket.socket(family, kind, protocol) as probe:
        # As servers do: connections of an earlier one that linger in TIME_WAIT are no hindrance.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(place)
            # Two sockets with SO_REUSEADDR may be bound to one port as long as neither listens.
            probe.listen(1)
        except OSError as exc:
            return os.strerror(exc.errno).lower() if exc.errno else str(exc)
    return None
