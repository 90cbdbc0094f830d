"""A stream on one call of InferenceService.Stream.

Cancelling `read()` or `write()` of grpc.aio cancels the whole call. So one task of ours reads and one writes, nobody
cancels them, and mailboxes stand between them and the caller.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import grpc
from google.protobuf.message import DecodeError
from google.rpc import status_pb2
from grpc import aio

from penstock.api.common.v1.common_pb2 import ErrorDetail
from penstock.api.inference.v1 import inference_pb2 as pb
from penstock.api.inference.v1.inference_pb2_grpc import InferenceServiceStub
from penstock.client.carrier import Message
from penstock.client.ends import (
    StreamEnd,
    StreamEnded,
    connection_lost,
    end_of_close_frame,
    end_of_grpc_status,
    end_of_local_close,
    with_retry_after,
)
from penstock.client.mailbox import Mailbox, MailboxFinished
from penstock.close_codes import EndCode
from penstock.errors import PenstockError, error_for

if TYPE_CHECKING:
    from penstock.api.inference.v1.inference_pb2_grpc import InferenceServiceAsyncStub

_Call: TypeAlias = "aio.StreamStreamCall[pb.StreamRequest, pb.StreamResponse]"

_INBOX_BYTES = 4 << 20
"""Received and not yet taken; beyond it the reader stops, and gRPC's flow control stops the edge."""

_OUTBOX_BYTES = 1 << 20
"""Handed over and not yet written; beyond it `send` waits."""

_BOX_ITEMS = 256
"""Bounds what empty and tiny messages cost."""

_MESSAGE_OVERHEAD_BYTES = 64 * 1024
"""What the protobuf message around a payload may add; generous, it only bounds."""

_ABORT_SECONDS = 1.0
"""How long the two tasks may take to notice that their call was cancelled."""


def open_channel(
    authority: str, *, message_bytes_max: int, root_certificates: bytes | None, is_secure: bool
) -> aio.Channel:
    """A channel of its own; it connects with the first call.

    Args:
        root_certificates: PEM of the authorities to trust instead of the system's; None trusts the system's.
    """
    options: list[tuple[str, int]] = [
        ("grpc.max_receive_message_length", message_bytes_max + _MESSAGE_OVERHEAD_BYTES),
        ("grpc.max_send_message_length", -1),
        # Two clients of one process share no connection, so none waits for the other's flow control.
        ("grpc.use_local_subchannel_pool", 1),
        # Finds a dead edge; servers count pings more often than every 10 s as abuse.
        ("grpc.keepalive_time_ms", 20_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    if not is_secure:
        return aio.insecure_channel(authority, options=options)
    return aio.secure_channel(authority, grpc.ssl_channel_credentials(root_certificates), options=options)


async def open_grpc(
    channel: aio.Channel, *, url: str, metadata: Sequence[tuple[str, str]], open_timeout_s: float
) -> GrpcCarrier:
    """Opens the call, and waits until the stream has a slot.

    Raises:
        PenstockError: The edge cannot be reached, refuses, or does not answer in time.
    """
    stub: InferenceServiceAsyncStub = InferenceServiceStub(channel)
    call = stub.Stream(metadata=aio.Metadata(*metadata))
    is_open = False
    try:
        async with asyncio.timeout(open_timeout_s):
            metadata_of_edge = await call.initial_metadata()
            # A refused call has its status at the same moment as its metadata, which is empty. A call that was accepted
            # and ended since then has both, when the edge names the stream in its metadata.
            if call.done() and not tuple(metadata_of_edge or ()) and await call.code() is not grpc.StatusCode.OK:
                raise await _refusal(call, url)
        is_open = True
    except TimeoutError as exc:
        raise error_for(EndCode.HANDSHAKE_TIMEOUT, None, f"no answer from {url} within {open_timeout_s:g} s") from exc
    finally:
        if not is_open:
            call.cancel()
    return GrpcCarrier(call)


class GrpcCarrier:
    """Carries one stream on one gRPC call. Made by `open_grpc`; owns two tasks until the stream has ended."""

    def __init__(self, call: _Call) -> None:
        self._call = call
        self._inbox: Mailbox[Message] = Mailbox(bytes_max=_INBOX_BYTES, items_max=_BOX_ITEMS)
        self._outbox: Mailbox[pb.StreamRequest] = Mailbox(bytes_max=_OUTBOX_BYTES, items_max=_BOX_ITEMS)
        self._sending = asyncio.Lock()
        self._local_close: tuple[int, str] | None = None
        self._end: StreamEnd | None = None
        self._ended = asyncio.Event()
        self._tasks = (
            asyncio.create_task(self._read(), name="penstock-stream-reader"),
            asyncio.create_task(self._write(), name="penstock-stream-writer"),
        )

    @property
    def subprotocol(self) -> None:
        """gRPC streams have no subprotocol."""
        return None

    @property
    def end(self) -> StreamEnd | None:
        """How the stream ended; None while it is open."""
        return self._end

    async def send(self, message: Message) -> None:
        """Hands over one message; waits while the peer does not keep up. Raises StreamEnded."""
        payload = pb.Message(text=message) if isinstance(message, str) else pb.Message(binary=message)
        try:
            async with self._sending:
                await self._outbox.put(pb.StreamRequest(message=payload), len(message))
        except MailboxFinished:
            raise StreamEnded(await self._wait_end()) from None

    async def recv(self) -> Message:
        """Takes the next message; after the last one raises StreamEnded."""
        try:
            return await self._inbox.get()
        except MailboxFinished:
            raise StreamEnded(await self._wait_end()) from None

    async def close(self, close_code: int, reason: str, *, timeout_s: float) -> None:
        """Ends the stream; waits at most `timeout_s` for the peer to agree, and drops what it still sends."""
        if not self._ended.is_set() and self._local_close is None:
            self._local_close = close_code, reason
            self._outbox.put_last(pb.StreamRequest(close=pb.Close(code=close_code, reason=reason)), 0)
        self._inbox.discard_further()
        try:
            async with asyncio.timeout(timeout_s):
                await self._ended.wait()
        except TimeoutError:
            pass
        finally:
            # Does nothing to a call that is over; otherwise both tasks end. Also when cancelled.
            self._call.cancel()
        await asyncio.wait(self._tasks, timeout=_ABORT_SECONDS)

    async def _wait_end(self) -> StreamEnd:
        await self._ended.wait()
        assert self._end is not None
        return self._end

    async def _read(self) -> None:
        closing: pb.Close | None = None
        try:
            while isinstance(response := await self._call.read(), pb.StreamResponse):
                kind = response.WhichOneof("kind")
                if kind == "message":
                    message = _payload(response.message)
                    await self._inbox.put(message, len(message))
                elif kind == "close":
                    closing = response.close
            self._end = self._end_with(_end_of_ok(closing))
        except aio.AioRpcError as exc:
            self._end = self._end_with(_end_of_error(exc, closing))
        except asyncio.CancelledError:
            # Raised when the call was cancelled, by `close`; or when the loop's owner cancels this task itself.
            self._end = self._end_with(end_of_local_close(1000, ""))
            raise
        finally:
            self._ended.set()
            self._inbox.finish()
            self._outbox.finish()

    async def _write(self) -> None:
        try:
            while True:
                await self._call.write(await self._outbox.get())
        except MailboxFinished:
            if not self._call.done():
                await self._half_close()
        except (aio.AioRpcError, asyncio.InvalidStateError):
            # The call is over; the reader learns why.
            pass
        finally:
            self._outbox.finish()

    async def _half_close(self) -> None:
        try:
            await self._call.done_writing()
        except (aio.AioRpcError, asyncio.InvalidStateError):
            pass

    def _end_with(self, end: StreamEnd) -> StreamEnd:
        if self._local_close is None:
            return end
        return end_of_local_close(*self._local_close)


def _payload(message: pb.Message) -> Message:
    return message.text if message.WhichOneof("payload") == "text" else message.binary


def _end_of_ok(closing: pb.Close | None) -> StreamEnd:
    return end_of_close_frame(1000, "") if closing is None else end_of_close_frame(closing.code or 1000, closing.reason)


def _end_of_error(error: aio.AioRpcError, closing: pb.Close | None) -> StreamEnd:
    detail = _detail(error.trailing_metadata())
    return end_of_grpc_status(
        error.code().name,
        (closing.reason if closing is not None else "") or error.details() or "",
        code=detail.code,
        close_code=(closing.code if closing is not None else 0) or detail.close_code,
    )


async def _refusal(call: _Call, url: str) -> PenstockError:
    status, message = (await call.code()).name, await call.details() or ""
    metadata = await call.trailing_metadata()
    detail = _detail(metadata)
    end = end_of_grpc_status(status, message, code=detail.code, close_code=detail.close_code, is_open=False)
    if end.code is EndCode.CLIENT_GONE and not detail.code:
        return connection_lost(f"cannot connect to {url}: {message}")
    retry_after = next((value for key, value in metadata or () if key == "retry-after"), None)
    return with_retry_after(end.error(), str(retry_after) if retry_after is not None else None)


def _detail(metadata: aio.Metadata | None) -> ErrorDetail:
    """Our detail in the status that travels beside the call; an empty one when there is none that can be read."""
    detail = ErrorDetail()
    try:
        for key, value in metadata or ():
            if key == "grpc-status-details-bin" and isinstance(value, bytes):
                for packed in status_pb2.Status.FromString(value).details:
                    if packed.Unpack(detail):
                        return detail
    except DecodeError:
        # A proxy may have cut it; the plain status still says enough.
        return ErrorDetail()
    return detail
