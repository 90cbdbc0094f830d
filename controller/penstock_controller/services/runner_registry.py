"""RunnerRegistryService: the call that every runner keeps open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import structlog

from penstock.api.control.v1 import control_pb2, control_pb2_grpc
from penstock_controller.conversion import duration, registration_from_wire, report_from_wire
from penstock_controller.errors import ControllerError, InvalidRequestError
from penstock_controller.reconciler import Reconciler
from penstock_controller.registry import HEARTBEAT_S
from penstock_controller.services.refusal import refuse
from penstock_controller.sessions import RunnerSession
from penstock_controller.tasks import TaskSet

FIRST_REQUEST_S = 10.0
"""Time for the first request of a call: it needs nothing but to be sent."""

log = structlog.get_logger("controller")


class RunnerRegistry(control_pb2_grpc.RunnerRegistryServiceServicer):
    """Feeds reports to the reconciler, and carries its commands to runners."""

    def __init__(self, reconciler: Reconciler) -> None:
        self._reconciler = reconciler

    # A coroutine that writes, not an async generator: a generator that is left at a `yield` runs its `finally` only
    # when it is collected, and the end of a call must be known at once.
    async def Attach(  # type: ignore[override]
        self,
        request_iterator: AsyncIterator[control_pb2.AttachRequest],
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> None:
        session = RunnerSession()
        try:
            register = await _first(request_iterator)
            self._reconciler.attach(registration_from_wire(register), session)
        except ControllerError as error:
            log.warning("attach_refused", reason=error.reason, detail=str(error))
            await refuse(context, error)
        replica_id = register.replica_id
        tasks = TaskSet()
        try:
            registry = self._reconciler.registry
            registered = control_pb2.Registered(lease=duration(registry.lease_s), heartbeat=duration(HEARTBEAT_S))
            await context.write(control_pb2.AttachResponse(registered=registered, epoch=registry.epoch))
            tasks.start(self._read(request_iterator, replica_id, session), name=f"attach-{replica_id}")
            while (response := await session.next()) is not None:
                await context.write(response)
        finally:
            self._reconciler.detach(replica_id, session)
            await tasks.cancel()

    async def _read(
        self, requests: AsyncIterator[control_pb2.AttachRequest], replica_id: str, session: RunnerSession
    ) -> None:
        try:
            async for request in requests:
                match request.WhichOneof("kind"):
                    case "status":
                        self._reconciler.report(replica_id, session, report_from_wire(request.status))
                    case "drain_result":
                        result = request.drain_result
                        self._reconciler.drain_answered(
                            replica_id, result.drain_id, result.accepted, result.active_streams
                        )
                    case "reload_result":
                        self._reconciler.world.reloads.answered(replica_id, request.reload_result)
                    case _:
                        log.warning("attach_request_ignored", replica=replica_id)
        finally:
            session.close()


async def _first(requests: AsyncIterator[control_pb2.AttachRequest]) -> control_pb2.Register:
    try:
        async with asyncio.timeout(FIRST_REQUEST_S):
            request = await anext(requests)
    except (TimeoutError, StopAsyncIteration):
        raise InvalidRequestError(f"register must be sent within {FIRST_REQUEST_S:g} s") from None
    if request.WhichOneof("kind") != "register":
        raise InvalidRequestError("the first request must be register")
    return request.register
