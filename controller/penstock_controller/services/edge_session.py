"""EdgeSessionService: the call that every edge keeps open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import structlog

from penstock.api.control.v1 import control_pb2, control_pb2_grpc
from penstock_controller.conversion import edge_report_from_wire, subscription_from_wire
from penstock_controller.errors import ControllerError, InvalidRequestError
from penstock_controller.reconciler import Reconciler
from penstock_controller.records import Subscription
from penstock_controller.registry import HEARTBEAT_S
from penstock_controller.services.refusal import refuse
from penstock_controller.services.runner_registry import FIRST_REQUEST_S
from penstock_controller.tasks import TaskSet

log = structlog.get_logger("controller")


class _Watch:
    """One Watch call."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.ended = asyncio.Event()


class EdgeSessions(control_pb2_grpc.EdgeSessionServiceServicer):
    """Sends snapshots to edges and takes their demand."""

    def __init__(self, reconciler: Reconciler) -> None:
        self._reconciler = reconciler
        self._watches: dict[int, _Watch] = {}
        self._watch_count = 0

    def close(self) -> None:
        """Ends all calls."""
        for watch in self._watches.values():
            watch.ended.set()
        self._reconciler.publisher.published.ring()

    async def Watch(  # type: ignore[override]  # a coroutine that writes; see RunnerRegistry.Attach
        self,
        request_iterator: AsyncIterator[control_pb2.WatchRequest],
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> None:
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
        self._watches[watch.number] = watch
        log.info("edge_connected", edge=subscription.edge_id, address=subscription.http_address)
        tasks = TaskSet()
        try:
            tasks.start(self._read(request_iterator, subscription, watch), name=f"watch-{subscription.edge_id}")
            await self._send(context, watch)
        finally:
            del self._watches[watch.number]
            self._reconciler.edge_gone(subscription.edge_id, watch.number)
            log.info("edge_gone", edge=subscription.edge_id)
            await tasks.cancel()

    async def _send(self, context: grpc.aio.ServicerContext[Any, Any], watch: _Watch) -> None:
        # An edge that takes snapshots slowly misses some: only the newest matters.
        publisher = self._reconciler.publisher
        sent = 0
        while not watch.ended.is_set():
            if publisher.count == sent:
                await publisher.published.wait(HEARTBEAT_S)
                continue
            sent = publisher.count
            await context.write(publisher.latest)

    async def _read(
        self, requests: AsyncIterator[control_pb2.WatchRequest], subscription: Subscription, watch: _Watch
    ) -> None:
        try:
            async for request in requests:
                if request.WhichOneof("kind") != "status":
                    log.warning("watch_request_ignored", edge=subscription.edge_id)
                    continue
                report = edge_report_from_wire(request.status)
                self._reconciler.edge_reported(subscription.edge_id, watch.number, report)
                for feedback in request.status.feedback:
                    if feedback.outcome == control_pb2.PLACEMENT_OUTCOME_UNREACHABLE:
                        self._reconciler.unreachable(feedback.replica_id)
        finally:
            watch.ended.set()
            self._reconciler.publisher.published.ring()


async def _first(requests: AsyncIterator[control_pb2.WatchRequest]) -> control_pb2.Subscribe:
    try:
        async with asyncio.timeout(FIRST_REQUEST_S):
            request = await anext(requests)
    except (TimeoutError, StopAsyncIteration):
        raise InvalidRequestError(f"subscribe must be sent within {FIRST_REQUEST_S:g} s") from None
    if request.WhichOneof("kind") != "subscribe":
        raise InvalidRequestError("the first request must be subscribe")
    return request.subscribe
