"""The streams that are open through this edge: listed, and ended, when an operator asks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import structlog
from google.protobuf.duration_pb2 import Duration

from penstock.api.control.v1 import control_pb2
from penstock.close_codes import TABLE, EndCode, clip_reason, may_be_sent
from penstock_edge.routing import Deployment

log = structlog.get_logger("edge")

LISTED_MAX = 10_000
LISTED_DEFAULT = 1_000

ENDED_MAX = 10_000
"""Streams that one order may end."""

ANSWER_BYTES_MAX = 12 * 1024 * 1024
"""Size of an answer from which it is cut: the controller takes messages up to 16 MiB."""

LOOKED_AT_PER_TURN = 128
"""Streams that are looked at in one turn of the loop, about half a millisecond; data passes in between."""

ENDED_PER_TURN = 16
"""Streams that are ended in one turn of the loop: each writes to its socket."""


class ClientStream(Protocol):
    """The holder of a stream at the edge, in what is told of it. Attributes are read only here."""

    @property
    def transport_name(self) -> str:
        """Returns "websocket", "grpc", "http" or "chain"."""

    stream_id: str
    deployment: Deployment
    replica_id: str
    opened_at: float
    """Seconds on the loop's clock."""

    @property
    def bytes_in(self) -> int:
        """Returns bytes from the client, payload and framing as the client sees them."""

    @property
    def bytes_out(self) -> int: ...

    @property
    def messages_in(self) -> int: ...

    @property
    def messages_out(self) -> int: ...

    def client_address(self) -> str:
        """Returns "host:port"; empty when it is not known."""

    def silent_for(self, now: float) -> float:
        """Returns seconds since the last message either way, or less."""

    def end_by_operator(self, close_code: int, reason: str) -> bool:
        """Ends the stream both ways; returns False when its end has already begun."""


class OpenStreams:
    """Every stream from its slot until it is counted as ended. Loop thread only."""

    def __init__(self, edge_id: str, now: Callable[[], float]) -> None:
        self._edge_id = edge_id
        self._now = now
        self._streams: dict[str, ClientStream] = {}
        """In the order of their opening, which a dict keeps: nothing is sorted for a list."""

    def __len__(self) -> int:
        return len(self._streams)

    def add(self, stream: ClientStream) -> None:
        """The stream has its slot."""
        self._streams[stream.stream_id] = stream

    def remove(self, stream: ClientStream) -> None:
        """The stream is over."""
        del self._streams[stream.stream_id]

    async def answer_list(self, query: control_pb2.ListOpenStreams, answer: control_pb2.OpenStreamList) -> None:
        """Writes into `answer` what is open now, less what ends meanwhile.

        The list is cut at its limit and at `ANSWER_BYTES_MAX`. It is written in place, because copying a long one into
        the request that carries it would hold the loop up for milliseconds.
        """
        limit = min(query.limit or LISTED_DEFAULT, LISTED_MAX)
        deployment_id, replica_id = query.deployment_id, query.replica_id
        answer.query_id = query.query_id
        room = ANSWER_BYTES_MAX
        everything = list(self._streams.values())
        # One moment for all, so that ages fall from one row to the next.
        asked_at = self._now()
        for start in range(0, len(everything), LOOKED_AT_PER_TURN):
            now = self._now()
            for stream in everything[start : start + LOOKED_AT_PER_TURN]:
                if deployment_id and stream.deployment.id != deployment_id:
                    continue
                if replica_id and stream.replica_id != replica_id:
                    continue
                if stream.stream_id not in self._streams:
                    continue
                answer.matching += 1
                if limit and room > 0:
                    view = answer.streams.add(
                        stream_id=stream.stream_id,
                        deployment_id=stream.deployment.id,
                        replica_id=stream.replica_id,
                        edge_id=self._edge_id,
                        transport=stream.transport_name,
                        client=stream.client_address(),
                        age=_duration(asked_at - stream.opened_at),
                        silent_for=_duration(stream.silent_for(now)),
                        bytes_in=stream.bytes_in,
                        bytes_out=stream.bytes_out,
                        messages_in=stream.messages_in,
                        messages_out=stream.messages_out,
                    )
                    room -= view.ByteSize()
                    limit -= 1
            await asyncio.sleep(0)

    async def answer_end(self, order: control_pb2.EndOpenStreams, answer: control_pb2.EndedStreams) -> None:
        """Ends the streams that are named, and writes into `answer` which have been.

        A close code that may not be sent ends nothing: what cannot be understood cuts no stream. Code 0 stands for that
        of OPERATOR_CLOSED. Ids beyond `ENDED_MAX` are passed over.
        """
        answer.query_id = order.query_id
        row = TABLE[EndCode.OPERATOR_CLOSED]
        close_code = order.close_code or row.close_code
        if not may_be_sent(close_code):
            log.warning("operator_close_refused", close_code=close_code, asked=len(order.stream_ids))
            return
        reason = clip_reason(order.reason)
        if not reason and close_code == row.close_code:
            reason = row.reason
        for number, stream_id in enumerate(order.stream_ids[:ENDED_MAX], 1):
            stream = self._streams.get(stream_id)
            if stream is not None and stream.end_by_operator(close_code, reason):
                answer.stream_ids.append(stream_id)
            if number % ENDED_PER_TURN == 0:
                await asyncio.sleep(0)
        log.info(
            "operator_closed_streams",
            asked=len(order.stream_ids),
            closed=len(answer.stream_ids),
            close_code=close_code,
        )


def address_text(host: str, port: int) -> str:
    """Returns "host:port", with the brackets that an IPv6 address needs."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _duration(seconds: float) -> Duration:
    nanoseconds = max(0, round(seconds * 1e9))
    return Duration(seconds=nanoseconds // 1_000_000_000, nanos=nanoseconds % 1_000_000_000)
