"""The client: an edge's address and credentials, and the streams opened with them."""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from penstock.client.address import Target, grpc_metadata, parse_address, websocket_path
from penstock.client.stream import Stream

if TYPE_CHECKING:
    from grpc import aio

    from penstock.client.carrier import Carrier

MESSAGE_BYTES_MAX = 100 << 20
"""Largest message that is received unless the client is told otherwise: the platform's own default limit."""

OPEN_TIMEOUT_S = 45.0
"""A little more than an edge waits by default for a slot (queue_timeout, 30 s) and a replica's answer (10 s), so that
its refusal, with the cause, comes before the client gives up."""


class Client:
    """Opens streams to the deployments behind one edge.

        async with Client("ws://127.0.0.1:8000") as client:
            async with client.stream("echo") as stream:
                await stream.send("hello")
                print(await stream.recv())

    Belongs to the event loop in which it is used. Leaving the block closes the streams that are still open.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        open_timeout: float = OPEN_TIMEOUT_S,
        close_timeout: float = 10,
        message_bytes_max: int = MESSAGE_BYTES_MAX,
        ca_file: str | Path | None = None,
    ) -> None:
        """Connects to nothing yet.

        Args:
            url: The edge: ws://, wss://, http:// or https:// for WebSocket, grpc://host:port or grpcs:// for gRPC.
            token: Sent as `Authorization: Bearer <token>`; for another scheme pass the header to `stream`.
            open_timeout: Seconds that opening a stream may take, the wait for a free slot included.
            close_timeout: Seconds that closing a stream may wait for the other side.
            message_bytes_max: Largest message that is received; a larger one ends its stream.
            ca_file: PEM file of the authorities to trust instead of the system's.

        Raises:
            ValueError: `url` is not an edge's, or a limit is not positive.
        """
        for name, value in (
            ("open_timeout", open_timeout),
            ("close_timeout", close_timeout),
            ("message_bytes_max", message_bytes_max),
        ):
            if value <= 0:
                raise ValueError(f"{name} must be positive, not {value!r}")
        self._address = parse_address(url)
        if ca_file is not None and not self._address.is_secure:
            raise ValueError(f"ca_file needs an address with TLS (wss:// or grpcs://), not {url!r}")
        self._token = token
        self._open_timeout_s = float(open_timeout)
        self._close_timeout_s = float(close_timeout)
        self._message_bytes_max = message_bytes_max
        self._ca_file = None if ca_file is None else Path(ca_file)
        self._channel: aio.Channel | None = None
        self._streams: set[Stream] = set()
        self._is_open = False

    def __repr__(self) -> str:
        return f"Client({self._address.url!r})"

    async def __aenter__(self) -> Self:
        self._is_open = True
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def stream(
        self,
        model: str = "",
        *,
        environment: str | None = None,
        deployment: str | None = None,
        path: str | None = None,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
        subprotocols: Iterable[str] | None = None,
    ) -> Stream:
        """A stream to `model`; `async with` opens and closes it.

        Args:
            model: Name of the model; empty where the edge serves a single deployment.
            environment: Where to look for it; the edge's default is production.
            deployment: Id of one deployment, instead of an environment.
            path: Path on the edge, with its query, instead of the one that follows from the names (WebSocket only).
            headers: For the model; over gRPC they travel as metadata, with names in lower case.
            subprotocols: Offered to the model, in order of preference (WebSocket only).

        Raises:
            ValueError: The arguments contradict each other.
        """
        target = Target(model, environment, deployment)
        fields = list((headers.items() if isinstance(headers, Mapping) else headers) or ())
        if self._token is not None:
            fields.append(("Authorization", f"Bearer {self._token}"))
        protocols = None if subprotocols is None else list(subprotocols)
        if path is not None and not path.startswith("/"):
            raise ValueError(f"a path starts with '/', not {path!r}")
        if self._address.transport == "grpc":
            if path is not None or protocols is not None:
                raise ValueError("path and subprotocols are for WebSocket; gRPC streams are named by metadata alone")
            opener = functools.partial(self._open_grpc, target, fields)
        else:
            if path is not None and target != Target("", None, None):
                raise ValueError("name either a path or a model, not both")
            where = websocket_path(target) if path is None else path
            opener = functools.partial(self._open_websocket, where, fields, protocols)
        return Stream(opener, close_timeout_s=self._close_timeout_s, open_streams=self._streams)

    async def close(self) -> None:
        """Closes the streams that are still open, and the connection. The client cannot be used again until entered."""
        self._is_open = False
        await asyncio.gather(*(stream.close() for stream in tuple(self._streams)))
        if self._channel is not None:
            channel, self._channel = self._channel, None
            await channel.close()

    async def _open_websocket(
        self, path: str, headers: list[tuple[str, str]], subprotocols: list[str] | None
    ) -> Carrier:
        # Imported here: a client over gRPC needs no WebSocket library, and the other way round.
        from penstock.client.websocket_carrier import open_websocket

        self._require_open()
        tls = ssl.create_default_context(cafile=self._ca_file) if self._address.is_secure else None
        return await open_websocket(
            self._address.url + path,
            headers=headers,
            subprotocols=subprotocols,
            message_bytes_max=self._message_bytes_max,
            open_timeout_s=self._open_timeout_s,
            close_timeout_s=self._close_timeout_s,
            tls=tls,
        )

    async def _open_grpc(self, target: Target, headers: list[tuple[str, str]]) -> Carrier:
        from penstock.client.grpc_carrier import open_channel, open_grpc

        self._require_open()
        if self._channel is None:
            self._channel = open_channel(
                self._address.authority,
                message_bytes_max=self._message_bytes_max,
                root_certificates=None if self._ca_file is None else self._ca_file.read_bytes(),
                is_secure=self._address.is_secure,
            )
        metadata = grpc_metadata(target) + [(name.lower(), value) for name, value in headers]
        return await open_grpc(
            self._channel, url=self._address.url, metadata=metadata, open_timeout_s=self._open_timeout_s
        )

    def _require_open(self) -> None:
        if not self._is_open:
            raise RuntimeError("the client is not open: use `async with Client(…) as client`")
