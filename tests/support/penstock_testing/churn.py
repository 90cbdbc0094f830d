"""Opens and ends streams by the ten thousand, in every way in which one ends, with a client of a few callbacks."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections import Counter
from enum import Enum
from typing import cast
from urllib.parse import urlsplit

from penstock_testing.raw_websocket import ACCEPT, CLOSE, TEXT, close_payload, frame, upgrade

CYCLE_SECONDS = 30.0
"""How long one cycle may take; generous, only a failing test waits so long."""

_ECHO = frame(TEXT, json.dumps({"do": "echo"}).encode()) + frame(TEXT, b"over and out")
_ECHOED = b"\x81\x0cover and out"
_RETURN = frame(TEXT, json.dumps({"do": "return"}).encode())
_CLOSE = frame(CLOSE, close_payload(1000))
_CLOSED = b"\x88\x02\x03\xe8"


class Ending(Enum):
    """How a cycle ends."""

    CLIENT_CLOSES = "the client closes, and waits for the answer"
    MODEL_RETURNS = "the model closes, and the client answers"
    RESET = "the client resets the connection after an exchange"
    UNANSWERED_RESET = "the client resets the connection while the echo is on its way"
    EARLY_RESET = "the client resets the connection before the upgrade is answered"


class Churn:
    """Cycles against one URL of the prover."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "", parts.port or 80
        self.request = upgrade(parts.path)
        self.ended: Counter[Ending] = Counter()
        self._left = 0

    async def run(self, cycles: int, side_by_side: int) -> None:
        """Runs `cycles` cycles, `side_by_side` at a time, every ending in turn."""
        self._left = cycles
        async with asyncio.TaskGroup() as group:
            for _ in range(side_by_side):
                group.create_task(self._worker())

    async def _worker(self) -> None:
        loop = asyncio.get_running_loop()
        endings = list(Ending)
        while self._left > 0:
            self._left -= 1
            cycle = _Cycle(self.request, endings[self._left % len(endings)], loop)
            async with asyncio.timeout(CYCLE_SECONDS):
                await loop.create_connection(lambda cycle=cycle: cycle, self.host, self.port)  # type: ignore[misc]  # bound default
                await cycle.over
            self.ended[cycle.ending] += 1


class _Cycle(asyncio.Protocol):
    def __init__(self, request: bytes, ending: Ending, loop: asyncio.AbstractEventLoop) -> None:
        self.ending = ending
        self.over: asyncio.Future[None] = loop.create_future()
        self._request = request
        self._received = b""
        self._is_open = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)
        if self.ending is Ending.EARLY_RESET:
            self._reset()

    def data_received(self, data: bytes) -> None:
        self._received += data
        try:
            self._step()
        except Exception as error:
            self.over.set_exception(error)
            self._transport.abort()

    def _step(self) -> None:
        if not self._is_open:
            head, end, rest = self._received.partition(b"\r\n\r\n")
            if not end:
                return
            assert head.startswith(b"HTTP/1.1 101 ") and ACCEPT.encode() in head, head
            self._is_open = True
            self._received = rest
            self._transport.write(_RETURN if self.ending is Ending.MODEL_RETURNS else _ECHO)
            if self.ending is Ending.UNANSWERED_RESET:
                self._reset()
        if self.ending is Ending.MODEL_RETURNS:
            if self._received == _CLOSED:
                self._transport.write(_CLOSE)
            return
        if self._received == _ECHOED:
            if self.ending is Ending.RESET:
                self._reset()
            elif self.ending is Ending.CLIENT_CLOSES:
                self._transport.write(_CLOSE)

    def _reset(self) -> None:
        sock = self._transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.over.done():
            return
        expected = {Ending.CLIENT_CLOSES: _ECHOED + _CLOSED, Ending.MODEL_RETURNS: _CLOSED}.get(self.ending)
        if expected is None or (exc is None and self._received == expected):
            self.over.set_result(None)
        else:
            self.over.set_exception(AssertionError(f"{self.ending}: {self._received!r}, {exc!r}"))
