"""async_predict: requests that are answered at once with an id, run when there is a slot, and report to a webhook.

They live in the memory of this edge process: a restart loses them, and another process does not know them. No more than
a few of a deployment stand in line for a slot at a time, so that requests whose clients wait are served first.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from functools import partial
from typing import Any

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from penstock.close_codes import TABLE, EndCode
from penstock_edge.async_queue import AsyncQueue, AsyncRequest, Status
from penstock_edge.async_result import Outcome, outcome_of, outcome_of_failure, status_body, webhook_body
from penstock_edge.async_submission import PAYLOAD_BYTES_MAX, BadSubmissionError, read_submission
from penstock_edge.headers import request_headers
from penstock_edge.http_request import REQUEST_ID_HEADER, ClientGoneError, next_of_body, refuse, too_big
from penstock_edge.plane import DataPlane
from penstock_edge.request_call import CallFailedError, RequestCall
from penstock_edge.routing import Deployment, Route
from penstock_edge.webhook import WebhookRules, Webhooks

IN_LINE_MAX = 8
"""Requests of one deployment that ask for a slot at a time."""

RUNNING_MAX = 64
"""Requests of one deployment that run, or report, at a time: each holds its result."""

RESULT_BYTES_MAX = 16 * 1024 * 1024
"""Largest result."""

READ_AT_ONCE_BYTES_MAX = 64 * 1024
"""Results up to this size are read in the loop, which takes less than a millisecond; larger ones in a thread."""

NO_SLOT_PAUSE_S = 1.0
"""How long a deployment without a free slot is left alone."""

SWEEP_S = 1.0
"""How often requests are looked for that have been queued for too long."""

STOP_S = 5.0
"""Time for the webhooks of requests that are lost when the edge stops."""

log = structlog.get_logger("edge")


class AsyncRequests:
    """Owner of every asynchronous request of this process, and of the tasks that run them. Loop thread only."""

    def __init__(self, plane: DataPlane, rules: WebhookRules) -> None:
        self._plane = plane
        self._queue = AsyncQueue()
        self._webhooks = Webhooks(rules)
        self._id_prefix = plane.edge_id.removeprefix("edge-") + "-"
        self._tasks: dict[AsyncRequest, asyncio.Task[bool]] = {}
        self._reports: set[asyncio.Task[None]] = set()
        """Webhooks of requests that never ran."""
        self._calls: dict[AsyncRequest, RequestCall] = {}
        """Of those that ask for a slot or run."""
        self._in_line: dict[str, int] = {}
        self._running: dict[str, int] = {}
        """By deployment: tasks that ask for a slot, and all tasks."""
        self._pauses: dict[str, asyncio.TimerHandle] = {}
        """Deployments that are left alone for now."""
        self._sweep_timer: asyncio.TimerHandle | None = None
        self._offset_s = time.time() - plane.now()
        self._is_stopped = False

    # Answers to clients

    async def serve(self, route: Route, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request for the endpoint "async_predict", "async_request" or "async_queue_status"."""
        method: str = scope["method"]
        try:
            if route.endpoint == "async_predict":
                _check_method(method, "POST")
                response = await self._submit(route.deployment, scope, receive)
            elif route.endpoint == "async_queue_status":
                _check_method(method, "GET", "HEAD")
                response = self._queue_status(route.deployment)
            else:
                response = self._one(method, route.suffix.decode("latin-1"), route.deployment.name)
        except ClientGoneError:
            return
        except CallFailedError as failure:
            await refuse(self._plane, route.deployment, failure, scope, receive, send)
            return
        await response(scope, receive, send)

    async def serve_id(self, request_id: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request for /async_request/ID, which names no deployment."""
        try:
            response = self._one(scope["method"], request_id, None)
        except CallFailedError as failure:
            await refuse(self._plane, None, failure, scope, receive, send)
            return
        await response(scope, receive, send)

    async def _submit(self, deployment: Deployment, scope: Scope, receive: Receive) -> Response:
        if self._plane.is_draining or self._is_stopped:
            raise CallFailedError(EndCode.EDGE_DRAINING, retry_after=1)
        payload = await _body(scope, receive)
        try:
            submission = read_submission(payload, self._webhooks.rules)
        except BadSubmissionError as error:
            raise CallFailedError(EndCode.BAD_REQUEST, str(error), status=400) from None
        now = self._plane.now()
        own = (b"content-type", b"content-encoding", b"accept", b"expect", REQUEST_ID_HEADER)
        request = AsyncRequest(
            id=self._id_prefix + secrets.token_hex(12),
            model=deployment.name,
            deployment_id=deployment.id,
            body=submission.body,
            headers=(
                *((name, value) for name, value in scope["headers"] if name not in own),
                (b"content-type", b"application/json"),
                (b"accept", b"application/json"),  # a streamed result comes as one
            ),
            webhook=submission.webhook,
            priority=submission.priority,
            created_at=now,
            expires_at=now + submission.queue_time_s,
            retries=submission.retries,
        )
        if not self._queue.submit(request):
            text = "The queue of asynchronous requests is full."
            raise CallFailedError(EndCode.QUEUE_FULL, text, status=429, retry_after=1)
        self._show_queue(request)
        if self._sweep_timer is None:
            self._sweep_timer = self._plane.loop.call_later(SWEEP_S, self._sweep)
        self._pump(deployment.id)
        return _json({"request_id": request.id}, 202)

    def _queue_status(self, deployment: Deployment) -> Response:
        queued, in_progress = self._queue.counts(deployment.id)
        return _json(
            {
                "model_id": deployment.name,
                "deployment_id": deployment.id,
                "num_queued_requests": queued,
                "num_in_progress_requests": in_progress,
            }
        )

    def _one(self, method: str, request_id: str, model: str | None) -> Response:
        _check_method(method, "GET", "HEAD", "DELETE")
        request = self._queue.get(request_id)
        if request is None or model not in (None, request.model):
            text = f"Nothing is known of the asynchronous request {request_id!r}."
            if request_id.startswith(self._id_prefix):
                text += " It is unknown, or was over for more than an hour."
            else:
                text += " Another edge process has taken it, or one that has been restarted since; each knows its own."
            raise CallFailedError(EndCode.NOT_FOUND, text)
        if method != "DELETE":
            return Response(status_body(request, self._offset_s), media_type="application/json")
        is_canceled = self._queue.cancel(request, self._plane.now())
        if is_canceled:
            self._over(request)
            call = self._calls.get(request)
            if call is not None:
                call.client_gone()
        message = "The request is canceled." if is_canceled else f"The request is {request.status}, not QUEUED."
        return _json({"request_id": request.id, "canceled": is_canceled, "message": message})

    # Running

    def _pump(self, deployment_id: str) -> None:
        """Begins what may begin now."""
        while (
            deployment_id not in self._pauses
            and not self._is_stopped
            and self._in_line.get(deployment_id, 0) < IN_LINE_MAX
            and self._running.get(deployment_id, 0) < RUNNING_MAX
            and (request := self._queue.take(deployment_id)) is not None
        ):
            _count(self._in_line, deployment_id, 1)
            _count(self._running, deployment_id, 1)
            task = self._plane.loop.create_task(self._run(request))
            self._tasks[request] = task
            task.add_done_callback(partial(self._task_done, request))

    def _task_done(self, request: AsyncRequest, task: asyncio.Task[bool]) -> None:
        deployment_id = request.deployment_id
        del self._tasks[request]
        _count(self._running, deployment_id, -1)
        if task.cancelled():
            pass
        elif (error := task.exception()) is not None:
            log.error("async_request_failed", request_id=request.id, exc_info=error)
            if request.status in (Status.QUEUED, Status.IN_PROGRESS):
                self._finish(request, Status.FAILED, (("INTERNAL_SERVER_ERROR", "The edge has failed."),))
        elif not task.result() and request.status is Status.QUEUED:
            self._queue.put_back(request)
            if deployment_id not in self._pauses and not self._is_stopped:
                pause = self._plane.loop.call_later(NO_SLOT_PAUSE_S, self._resume, deployment_id)
                self._pauses[deployment_id] = pause
        self._pump(deployment_id)

    def _resume(self, deployment_id: str) -> None:
        del self._pauses[deployment_id]
        self._pump(deployment_id)

    async def _run(self, request: AsyncRequest) -> bool:
        """Asks the model until there is an answer, and reports. Returns False when there was no slot for it."""
        opened: asyncio.Future[None] = self._plane.loop.create_future()
        opened.add_done_callback(partial(self._left_line, request))
        try:
            outcome = await self._attempt(request, opened)
        finally:
            opened.cancel()
        if request.status not in (Status.QUEUED, Status.IN_PROGRESS):
            return True
        if request.status is Status.QUEUED and outcome.is_retried:
            return False
        attempts = 1
        while outcome.is_retried and attempts < request.retries.attempts_max:
            await asyncio.sleep(request.retries.delay_s(attempts))
            attempts += 1
            outcome = await self._attempt(request)
        if outcome.error is None:
            self._finish(request, Status.SUCCEEDED, (), outcome.result)
        else:
            self._finish(request, Status.FAILED, (outcome.error,))
        await self._report(request, outcome.result)
        return True

    def _left_line(self, request: AsyncRequest, _: asyncio.Future[None]) -> None:
        """The request has a slot, or gets none now."""
        _count(self._in_line, request.deployment_id, -1)
        call = self._calls.get(request)
        if call is not None and call.is_open and request.status is Status.QUEUED:
            now = self._plane.now()
            self._queue.started(request, now)
            waited_s = now - request.created_at
            self._plane.metrics.async_queue_time.labels(request.model, request.deployment_id).observe(waited_s)
            self._show_queue(request)
        self._pump(request.deployment_id)

    async def _attempt(self, request: AsyncRequest, opened: asyncio.Future[None] | None = None) -> Outcome:
        """Asks the model once.

        Args:
            opened: is done when there is a slot, or none.
        """
        deployment = self._plane.table.by_id(request.deployment_id)
        if deployment is None:
            return outcome_of_failure(EndCode.NOT_FOUND, "The deployment is not served any more.")
        call = RequestCall(
            self._plane,
            deployment,
            headers=request_headers(request.headers, request.id.encode()),
            body=request.body,
            transport="http",
            timeout_s=deployment.settings.async_predict_timeout_s,
        )
        self._calls[request] = call
        call.on_open = opened
        try:
            head = await call.start()
            body = bytearray(head.body)
            while head.body_follows and (part := await call.next_part()) is not None:
                body += part
                if len(body) > RESULT_BYTES_MAX:
                    text = f"The result is larger than {RESULT_BYTES_MAX} bytes."
                    raise CallFailedError(EndCode.MESSAGE_TOO_BIG, text)
        except CallFailedError as failure:
            return outcome_of_failure(failure.code, failure.text)
        finally:
            del self._calls[request]
            call.close()
        types = [header.value.decode("latin-1") for header in head.headers if header.name.lower() == "content-type"]
        judge = partial(outcome_of, head.status, types[0] if types else "", bytes(body))
        return judge() if len(body) <= READ_AT_ONCE_BYTES_MAX else await asyncio.to_thread(judge)

    async def _report(self, request: AsyncRequest, result: bytes | None) -> None:
        if request.webhook is None:
            return
        body = webhook_body(request, result, self._plane.now() + self._offset_s)
        is_delivered = await self._webhooks.deliver(request.webhook, request.id, body)
        self._queue.webhook_done(request, self._plane.now(), is_delivered=is_delivered)
        status = request.webhook_status
        self._plane.metrics.webhooks.labels(request.model, request.deployment_id, status).inc()

    def _finish(
        self,
        request: AsyncRequest,
        status: Status,
        errors: tuple[tuple[str, str], ...],
        result: bytes | None = None,
    ) -> None:
        self._queue.finished(request, status, self._plane.now(), errors, result)
        self._over(request)

    def _over(self, request: AsyncRequest) -> None:
        self._plane.metrics.async_ended.labels(request.model, request.deployment_id, request.status).inc()
        self._show_queue(request)

    def _show_queue(self, request: AsyncRequest) -> None:
        gauge = self._plane.metrics.async_queue_size.labels(request.model, request.deployment_id)
        gauge.set(self._queue.counts(request.deployment_id)[0])

    # Time and end

    def _sweep(self) -> None:
        """Ends what has been queued for too long."""
        for request in self._queue.expire(self._plane.now()):
            self._over(request)
            call = self._calls.get(request)
            if call is not None:
                call.client_gone()
            if request.webhook is not None:
                self._report_later(request)
        is_needed = bool(self._queue.unfinished())
        self._sweep_timer = self._plane.loop.call_later(SWEEP_S, self._sweep) if is_needed else None

    def _report_later(self, request: AsyncRequest) -> None:
        task = self._plane.loop.create_task(self._report(request, None))
        self._reports.add(task)
        task.add_done_callback(self._reports.discard)

    async def stop(self) -> None:
        """Ends everything; webhooks of what is lost are told, for `STOP_S` at most."""
        self._is_stopped = True
        if self._sweep_timer is not None:
            self._sweep_timer.cancel()
        for pause in self._pauses.values():
            pause.cancel()
        lost = self._queue.unfinished()
        cut = [task for request, task in self._tasks.items() if request in lost]
        for task in cut:
            task.cancel()
        await asyncio.gather(*cut, return_exceptions=True)
        for request in lost:
            self._finish(request, Status.FAILED, (("INTERNAL_SERVER_ERROR", TABLE[EndCode.EDGE_DRAINING].reason),))
            if request.webhook is not None:
                self._report_later(request)
        reports: set[asyncio.Task[Any]] = {*self._reports, *self._tasks.values()}
        if reports:
            _, late = await asyncio.wait(reports, timeout=STOP_S)
            for report in late:
                report.cancel()
            await asyncio.gather(*late, return_exceptions=True)


async def _body(scope: Scope, receive: Receive) -> bytes:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > PAYLOAD_BYTES_MAX:
            raise too_big(PAYLOAD_BYTES_MAX)
    body = bytearray()
    more = True
    while more:
        message = await next_of_body(receive)
        body += message.get("body", b"")
        if len(body) > PAYLOAD_BYTES_MAX:
            raise too_big(PAYLOAD_BYTES_MAX)
        more = bool(message.get("more_body"))
    return bytes(body)


def _check_method(method: str, *allowed: str) -> None:
    if method not in allowed:
        text = f"{method} is not allowed here; send {' or '.join(name for name in allowed if name != 'HEAD')}."
        raise CallFailedError(EndCode.BAD_REQUEST, text, status=405)


def _count(counts: dict[str, int], key: str, change: int) -> None:
    value = counts.get(key, 0) + change
    if value:
        counts[key] = value
    else:
        del counts[key]


def _json(fields: dict[str, object], status: int = 200) -> Response:
    return Response(json.dumps(fields), status, media_type="application/json")
