"""What the kernel knows of a client's connection while its socket is not read.

A socket is not read while the model is slow, so neither the end of the connection nor a pong can be heard then.
"""

from __future__ import annotations

import socket
from asyncio import BaseTransport
from enum import IntEnum

KEEPALIVE_IDLE_S = 20
KEEPALIVE_INTERVAL_S = 10
KEEPALIVE_PROBES = 3
"""A host that vanished without a word is noticed after idle time + interval * probes."""


class TcpState(IntEnum):
    """States of a connection, as in Linux's tcp_states.h; those that are told apart here."""

    UNKNOWN = 0
    ESTABLISHED = 1
    CLOSED = 7
    """Reset by the client, or given up by keepalive."""
    CLOSE_WAIT = 8
    """The client has sent its last byte; some may still be unread."""


def tcp_state(transport: BaseTransport) -> TcpState:
    """Returns the state of the connection; UNKNOWN for a unix socket, or one that is gone."""
    sock = transport.get_extra_info("socket")
    try:
        return TcpState(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0])
    except (AttributeError, OSError, ValueError):
        return TcpState.UNKNOWN


def keep_alive(transport: BaseTransport) -> None:
    """Lets the kernel probe the client's host."""
    sock = transport.get_extra_info("socket")
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)
    except (AttributeError, OSError):
        return  # a unix socket has no host to lose
