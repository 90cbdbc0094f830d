"""Keeps the session with the controller: snapshots down, demand up. Without a controller the last snapshot holds."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import deque
from collections.abc import AsyncIterator

import grpc
import grpc.aio
import structlog
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from penstock import __version__
from penstock.api.control.v1 import control_pb2, control_pb2_grpc
from penstock_edge.plane import DataPlane

log = structlog.get_logger("edge")

HEARTBEAT_S = 1.0
"""Time between two statuses."""

GATHER_S = 0.02
"""Time for which changes are gathered into one status: an overloaded edge meets thousands of refusals a second."""

SILENCE_S = 8.0
"""Time without a snapshot after which the session is taken as dead and opened again."""

QUERIES_MAX = 16
"""Questions on streams that wait for their answer; a further one gets none."""

RETRY_S_MIN = 0.1
RETRY_S_MAX = 2.0


class ControllerSession:
    """Runs until cancelled.

    Args:
        address: "host:port" or "unix:/path" of the controller.
        http_address: "host:port" that this edge serves.
        grpc_address: the same for gRPC; empty when it is off.
        inner_address: the same for trunks of runners; empty when it is off.
    """

    def __init__(
        self, plane: DataPlane, address: str, http_address: str, grpc_address: str, inner_address: str = ""
    ) -> None:
        self._plane = plane
        self._address = address
        self._http_address = http_address
        self._grpc_address = grpc_address
        self._inner_address = inner_address
        self._started_at = Timestamp()
        self._started_at.FromNanoseconds(time.time_ns())
        self._heard_at = plane.now()
        self._changed = asyncio.Event()
        plane.on_feedback = self._changed.set

    @property
    def stale_s(self) -> float:
        """Time since the controller was heard last."""
        return self._plane.now() - self._heard_at

    async def run(self) -> None:
        """Watches, and connects again with back-off after every break."""
        retry_s = RETRY_S_MIN
        while True:
            started = self._plane.now()
            try:
                await self._watch()
                detail = "controller ended the session"
            except grpc.aio.AioRpcError as error:
                detail = error.code().name
            except Exception:
                # A snapshot that cannot be applied must not end the session for good, and with it all routing.
                log.exception("controller_session_failed")
                detail = "internal error"
            if self._plane.now() - started > 5:
                retry_s = RETRY_S_MIN
            log.warning("controller_lost", detail=detail, retry_s=round(retry_s, 2))
            await asyncio.sleep(retry_s * random.uniform(0.8, 1.2))
            retry_s = min(RETRY_S_MAX, retry_s * 2)

    async def _watch(self) -> None:
        options = [("grpc.keepalive_time_ms", 20_000), ("grpc.keepalive_timeout_ms", 10_000)]
        async with grpc.aio.insecure_channel(self._address, options=options) as channel:
            stub = control_pb2_grpc.EdgeSessionServiceStub(channel)
            queries: deque[control_pb2.WatchResponse] = deque()
            call = stub.Watch(self._requests(queries))
            silence = self._plane.loop.call_later(SILENCE_S, call.cancel)
            try:
                async for response in call:
                    silence.cancel()
                    silence = self._plane.loop.call_later(SILENCE_S, call.cancel)
                    self._heard_at = self._plane.now()
                    kind = response.WhichOneof("kind")
                    if kind == "snapshot":
                        before = (self._plane.snapshot_epoch, self._plane.snapshot_version)
                        self._plane.apply(response.snapshot)
                        if (self._plane.snapshot_epoch, self._plane.snapshot_version) != before:
                            self._changed.set()
                    elif kind is not None:  # None is what this edge does not know, from a newer controller
                        self._queue(queries, response, kind)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                # The call was cancelled, by `silence`, and not this task.
            finally:
                silence.cancel()

    def _queue(self, queries: deque[control_pb2.WatchResponse], query: control_pb2.WatchResponse, kind: str) -> None:
        """Keeps a question until the writer of the session comes to it."""
        if len(queries) >= QUERIES_MAX:
            log.warning("stream_query_dropped", kind=kind, waiting=len(queries))
            return
        queries.append(query)
        self._changed.set()

    async def _answer(self, query: control_pb2.WatchResponse) -> control_pb2.WatchRequest | None:
        """Answers a question; None when that failed."""
        streams = self._plane.open_streams
        request = control_pb2.WatchRequest()
        try:
            if query.HasField("list_open_streams"):
                await streams.answer_list(query.list_open_streams, request.open_stream_list)
            else:
                await streams.answer_end(query.end_open_streams, request.ended_streams)
        except Exception:
            # A defect here must not end the session, and with it the snapshots.
            log.exception("stream_query_failed")
            return None
        return request

    async def _requests(self, queries: deque[control_pb2.WatchResponse]) -> AsyncIterator[control_pb2.WatchRequest]:
        plane = self._plane
        yield control_pb2.WatchRequest(
            subscribe=control_pb2.Subscribe(
                edge_id=plane.edge_id,
                pid=os.getpid(),
                http_address=self._http_address,
                grpc_address=self._grpc_address,
                inner_address=self._inner_address,
                version=__version__,
                snapshot_epoch=plane.snapshot_epoch,
                snapshot_version=plane.snapshot_version,
                started_at=self._started_at,
            )
        )
        while True:
            self._changed.clear()
            yield control_pb2.WatchRequest(status=self._status())
            if queries:
                # One at a time: statuses go out between the answers.
                answer = await self._answer(queries.popleft())
                if answer is not None:
                    yield answer
                continue
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await self._changed.wait()
                    await asyncio.sleep(GATHER_S)
            except TimeoutError:
                pass

    def _status(self) -> control_pb2.EdgeStatus:
        plane = self._plane
        now = plane.now()
        demand = plane.waiting.demand()
        status = control_pb2.EdgeStatus(
            active_streams=plane.active_streams,
            snapshot_epoch=plane.snapshot_epoch,
            snapshot_version=plane.snapshot_version,
            draining=plane.is_draining,
            feedback=plane.take_feedback(),
        )
        for deployment_id in demand.keys() | plane.waiting.refused_total.keys():
            waiting, since = demand.get(deployment_id, (0, now))
            entry = status.demands.add(
                deployment_id=deployment_id,
                waiting=waiting,
                refused_total=plane.waiting.refused_total.get(deployment_id, 0),
            )
            if waiting:
                oldest = Duration()
                oldest.FromMilliseconds(int((now - since) * 1000))
                entry.oldest_wait.CopyFrom(oldest)
        return status
