"""The serving side of a trunk: one call of a grpc.aio server from its beginning to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio

from penstock.api.trunk.v1 import trunk_pb2
from penstock.trunk.endpoint import Endpoint
from penstock.trunk.limits import BATCH_WIRE_BYTES_MAX
from penstock.trunk.pump import Writer, read_all

TRUNK_SERVICE = trunk_pb2.DESCRIPTOR.services_by_name["TrunkService"].full_name

SERVER_OPTIONS = [
    ("grpc.max_receive_message_length", BATCH_WIRE_BYTES_MAX),
    ("grpc.max_send_message_length", BATCH_WIRE_BYTES_MAX),
    ("grpc.so_reuseport", 0),
    # Callers ping every 10 s also without data; the default minimum of 5 min would end their connections.
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
]

LAST_WRITE_S = 2.0
"""Time for the write that is under way when a trunk ends."""


def trunk_handlers(connect: Any) -> tuple[grpc.GenericRpcHandler, ...]:
    """Returns what a server has to be given so that `connect(request_iterator, context)` serves its trunks.

    Batches pass as bytes: generated code would decode them.
    """
    handler: Any = grpc.stream_stream_rpc_method_handler(connect)
    return (grpc.method_handlers_generic_handler(TRUNK_SERVICE, {"Connect": handler}),)


async def serve_trunk(
    context: grpc.aio.ServicerContext[bytes, bytes],
    endpoint: Endpoint,
    writer: Writer,
    *,
    after_batch: Callable[[], None] | None = None,
    on_end: Callable[[str], None],
) -> None:
    """Serves one trunk until the peer or the connection ends it. For the task that handles the call.

    Args:
        writer: its `wake` is the endpoint's `on_output`.
        after_batch: called after each received batch.
        on_end: called once with the cause, right after the streams were told; nothing comes between.
    """
    writing = asyncio.get_running_loop().create_task(writer.run(context, endpoint))
    handler = asyncio.current_task()
    assert handler is not None
    is_mute = False

    def on_writer_end(_: asyncio.Task[None]) -> None:
        # Without its writer a trunk would hang in silence.
        nonlocal is_mute
        if not writer.is_stopped and endpoint.fault is None:
            is_mute = True
            handler.cancel()

    writing.add_done_callback(on_writer_end)
    detail = "call was cancelled"
    try:
        detail = await read_all(context, endpoint, after_batch)
    except asyncio.CancelledError:
        if not is_mute or handler.uncancel():
            raise
        # grpc.aio ends the call when its handler returns, and leaves it open when it was cancelled.
        detail = f"writer ended: {writing.exception()!r}"
    finally:
        # Not awaited before the streams are told: nothing may come between the loss and the news of it.
        endpoint.lose(detail)
        on_end(detail)
        # grpc.aio cannot end a call in which a write is pending: the peer would never hear of the end.
        writer.stop()
        try:
            await asyncio.wait({writing}, timeout=LAST_WRITE_S)
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
