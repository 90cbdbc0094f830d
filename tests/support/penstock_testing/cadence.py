"""A stream that sends an audio-sized message every 20 ms, from a process of its own, and times the echoes.

A process of its own, because a test that is busy with 100 MiB would measure itself. Times count from when a message was
due, so that a stall cannot hide the messages that it held up.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

INTERVAL_S = 0.02

MESSAGE_BYTES = 640
"""20 ms of 16 kHz PCM."""

START_SECONDS = 30.0
LAST_ECHO_SECONDS = 10.0
"""How long the echoes that are still due may take at the end."""

_MASK = b"\x21\x43\x65\x87"
_KEY = "cGVuc3RvY2stY2FkZW5jZQ=="


@dataclass(slots=True)
class Cadence:
    """The figures are there after the `with` block, in milliseconds."""

    count: int = 0
    missing: int = 0
    """Messages whose echo did not come."""
    closed: int = 0
    """Close code with which the stream was ended from the other side; 0 when it was not."""
    latencies: list[float] = field(default_factory=list)
    """Of each message, in the order of sending."""


@contextmanager
def cadence(url: str, order: str, seconds_max: float = 100.0) -> Iterator[Cadence]:
    """Keeps the cadence on the stream at `url` while the block runs; `order` is the first message."""
    process = subprocess.Popen(
        [sys.executable, "-P", __file__, url, order, str(seconds_max)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    figures = Cadence()
    try:
        ready, _, _ = select.select([process.stdout], [], [], START_SECONDS)
        assert ready and process.stdout.readline() == "ready\n", "the cadence did not start"
        yield figures
        output, _ = process.communicate(timeout=seconds_max)
        assert process.returncode == 0, "the cadence failed; its words are on stderr"
        for name, value in json.loads(output).items():
            setattr(figures, name, value)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def _frame(opcode: int, payload: bytes) -> bytes:
    size = len(payload)
    small = size < 126
    head = struct.pack("!BB", 0x80 | opcode, 0x80 | size) if small else struct.pack("!BBH", 0x80 | opcode, 0xFE, size)
    return head + _MASK + bytes(byte ^ _MASK[index % 4] for index, byte in enumerate(payload))


class _Client:
    def __init__(self, url: str, order: str) -> None:
        parts = urlsplit(url)
        self.sock = socket.create_connection((parts.hostname or "", parts.port or 80))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        fields = {
            "Host": parts.netloc,
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": _KEY,
        }
        lines = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
        self.sock.sendall("\r\n".join(lines).encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self.sock.recv(1) or sys.exit("the connection ended during the handshake")
        if b" 101 " not in head.split(b"\r\n")[0]:
            sys.exit(f"no upgrade: {head!r}")
        self.sock.sendall(_frame(1, order.encode()))
        self._buffer = b""

    def send(self, number: int) -> None:
        payload = number.to_bytes(4) + bytes(MESSAGE_BYTES - 4)
        self.sock.sendall(_frame(2, payload))

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """What has arrived; the connection's end counts as a close frame with 1006."""
        received = self.sock.recv(65536)
        if not received:
            yield 8, (1006).to_bytes(2)
            return
        self._buffer += received
        while len(self._buffer) >= 2:
            size, start = self._buffer[1], 2
            if size == 126 and len(self._buffer) >= 4:
                size, start = int.from_bytes(self._buffer[2:4]), 4
            if (size == 126 and start == 2) or len(self._buffer) < start + size:
                return
            opcode, payload = self._buffer[0] & 15, self._buffer[start : start + size]
            self._buffer = self._buffer[start + size :]
            yield opcode, payload


def _run(url: str, order: str, seconds_max: float) -> dict[str, Any]:
    client = _Client(url, order)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    latencies: list[float] = []
    closed = sent = 0
    is_sending = True
    started = time.monotonic()
    end = started + seconds_max
    while not closed and (is_sending or len(latencies) < sent) and (now := time.monotonic()) < end:
        due = started + sent * INTERVAL_S
        if is_sending and now >= due:
            client.send(sent)
            sent += 1
            continue
        wait = max(0.0, (due if is_sending else end) - now)
        readable, _, _ = select.select([client.sock, sys.stdin] if is_sending else [client.sock], [], [], wait)
        now = time.monotonic()
        if client.sock in readable:
            for opcode, payload in client.frames():
                if opcode == 8:
                    closed = int.from_bytes(payload[:2])
                elif opcode == 2:
                    number = int.from_bytes(payload[:4])
                    if number != len(latencies) or len(payload) != MESSAGE_BYTES:
                        sys.exit(f"echo {number} came, {len(latencies)} was due")
                    latencies.append((now - started - number * INTERVAL_S) * 1000)
        if sys.stdin in readable:
            is_sending = False
            end = now + LAST_ECHO_SECONDS
    return {"count": sent, "missing": sent - len(latencies), "closed": closed, "latencies": latencies}


if __name__ == "__main__":
    json.dump(_run(sys.argv[1], sys.argv[2], float(sys.argv[3])), sys.stdout)
