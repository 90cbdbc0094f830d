"""EdgeSessionService: the call that every edge keeps open."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import grpc
import structlog

from penstock.api.control.v1 import control_pb2
from penstock_controller.conversion import edge_report_from_wire, subscription_from_wire
from penstock_controller.edge_queries import EdgeQueries
from penstock_controller.errors import ControllerError, InvalidRequestError
from penstock_controller.reconciler import Reconciler
from penstock_controller.records import Subscription
from penstock_controller.registry import HEARTBEAT_S
from penstock_controller.services.refusal import refuse
from penstock_controller.services.runner_registry import FIRST_REQUEST_S
from penstock_controller.tasks import TaskSet

QUESTIONS_MAX = 16
"""Questions that may wait for one edge; further ones count as not answered."""

SERVICE = control_pb2.DESCRIPTOR.services_by_name["EdgeSessionService"].full_name

log = structlog.get_logger("controller")


class _Watch:
    """One Watch call."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.ended = asyncio.Event()
        self.questions: deque[control_pb2.WatchResponse] = deque()
        self.asked = asyncio.Event()

    def send(self, response: control_pb2.WatchResponse) -> bool:
        if len(self.questions) >= QUESTIONS_MAX or self.ended.is_set():
            return False
        self.questions.append(response)
        self.asked.set()
        return True


class EdgeSessions:
    """Sends snapshots to edges and takes their demand."""

    def __init__(self, reconciler: Reconciler, queries: EdgeQueries) -> None:
        self._reconciler = reconciler
        self._queries = queries
        self._watches: dict[int, _Watch] = {}
        self._watch_count = 0

    def handler(self) -> grpc.GenericRpcHandler:
        """Returns what a server needs. Answers are bytes: a snapshot is serialized once for all edges."""
        method: Any = grpc.stream_stream_rpc_method_handler(
            self.Watch, request_deserializer=control_pb2.WatchRequest.FromString, response_serializer=None
        )
        return grpc.method_handlers_generic_handler(SERVICE, {"Watch": method})

    def close(self) -> None:
        """Ends all calls."""
        for watch in self._watches.values():
            watch.ended.set()
            watch.asked.set()

    async def Watch(
        self,
        request_iterator: AsyncIterator[control_pb2.WatchRequest],
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> None:
        """A coroutine that writes, for the same reason as RunnerRegistry.Attach."""
        self._watch_count += 1
        watch = _Watch(self._watch_count)
        try:
            subscription = subscription_from_wire(await _first(request_iterator))
            replaced = self._reconciler.edge_connected(subscription, watch.number)
        except ControllerError as error:
            log.warning("watch_refused", reason=error.reason, detail=str(error))
            await refuse(context, error)
        if replaced in self._watches:
            self._watches[replaced].ended.set()
            self._watches[replaced].asked.set()
        self._watches[watch.number] = watch
        self._queries.connected(subscription.edge_id, watch)
        log.info("edge_connected", edge=subscription.edge_id, address=subscription.http_address)
        tasks = TaskSet()
        try:
            tasks.start(self._read(request_iterator, subscription, watch), name=f"watch-{subscription.edge_id}")
            await self._send(context, watch)
        finally:
            del self._watches[watch.number]
            self._queries.gone(subscription.edge_id, watch)
            self._reconciler.edge_gone(subscription.edge_id, watch.number)
            log.info("edge_gone", edge=subscription.edge_id)
            await tasks.cancel()

    async def _send(self, context: grpc.aio.ServicerContext[Any, Any], watch: _Watch) -> None:
        # An edge that takes snapshots slowly misses some: only the newest matters.
        publisher = self._reconciler.publisher
        publisher.listeners.add(watch.asked)
        sent = 0
        try:
            while not watch.ended.is_set():
                watch.asked.clear()
                if publisher.count != sent:
                    sent = publisher.count
                    await context.write(publisher.latest)
                while watch.questions:
                    await context.write(watch.questions.popleft().SerializeToString())
                if publisher.count == sent and not watch.questions:
                    await _wait(watch.asked)
        finally:
            publisher.listeners.discard(watch.asked)

    async def _read(
        self, requests: AsyncIterator[control_pb2.WatchRequest], subscription: Subscription, watch: _Watch
    ) -> None:
        edge_id = subscription.edge_id
        try:
            async for request in requests:
                match request.WhichOneof("kind"):
                    case "status":
                        report = edge_report_from_wire(request.status)
                        self._reconciler.edge_reported(edge_id, watch.number, report)
                        for feedback in request.status.feedback:
                            if feedback.outcome == control_pb2.PLACEMENT_OUTCOME_UNREACHABLE:
                                self._reconciler.unreachable(feedback.replica_id)
                    case "open_stream_list":
                        self._queries.answered(edge_id, request.open_stream_list)
                    case "ended_streams":
                        self._queries.answered(edge_id, request.ended_streams)
                    case _:
                        log.warning("watch_request_ignored", edge=edge_id)
        finally:
            watch.ended.set()
            watch.asked.set()


async def _wait(event: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(HEARTBEAT_S):
            await event.wait()
    except TimeoutError:
        pass


async def _first(requests: AsyncIterator[control_pb2.WatchRequest]) -> control_pb2.Subscribe:
    try:
        async with asyncio.timeout(FIRST_REQUEST_S):
            request = await anext(requests)
    except (TimeoutError, StopAsyncIteration):
        raise InvalidRequestError(f"subscribe must be sent within {FIRST_REQUEST_S:g} s") from None
    if request.WhichOneof("kind") != "subscribe":
        raise InvalidRequestError("the first request must be subscribe")
    return request.subscribe
