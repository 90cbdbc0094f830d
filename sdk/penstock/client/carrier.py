"""What carries one open stream: a WebSocket connection or a gRPC call."""

from __future__ import annotations

from typing import Protocol

from penstock.client.ends import StreamEnd

Message = str | bytes


class Carrier(Protocol):
    """One open stream. `send` and `recv` may be cancelled: a cancelled `recv` loses no message."""

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that the model chose."""
        ...

    @property
    def end(self) -> StreamEnd | None:
        """How the stream ended; None while it is open."""
        ...

    async def send(self, message: Message) -> None:
        """Hands over one message; waits while the peer does not keep up. Raises StreamEnded."""
        ...

    async def recv(self) -> Message:
        """Takes the next message; after the last one raises StreamEnded."""
        ...

    async def close(self, close_code: int, reason: str, *, timeout_s: float) -> None:
        """Ends the stream; waits at most `timeout_s` for the peer to agree, and drops what it still sends."""
        ...
