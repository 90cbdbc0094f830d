"""Asynchronous requests of one edge process: what waits, what runs, and what became of the rest. Pure.

    QUEUED ──a slot──▶ IN_PROGRESS ──▶ SUCCEEDED ──the webhook fails──▶ WEBHOOK_FAILED
      │                     └────────▶ FAILED
      ├──its time is over──▶ EXPIRED
      └──DELETE──▶ CANCELED

Times are seconds of one monotonic clock. Nothing here outlives the process.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from enum import StrEnum

QUEUED_MAX = 1000
"""Requests of one deployment that may be queued."""

QUEUED_BYTES_MAX = 64 * 1024 * 1024
"""Their inputs together."""

FINISHED_MAX = 10_000
"""Requests that are over and still known; the oldest is forgotten."""

FINISHED_S = 3600.0
"""How long a request that is over is known."""

RESULT_BYTES_MAX = 1024 * 1024
"""Largest result that is kept for who asks for the status."""

RESULTS_BYTES_MAX = 64 * 1024 * 1024
"""Kept results together; the oldest are dropped, and their requests stay known."""

PRIORITIES = (0, 1, 2)
"""A lower number goes first."""


class Status(StrEnum):
    """Where a request is in its life."""

    QUEUED = "QUEUED"
    IN_PROGRESS = "IN_PROGRESS"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    EXPIRED = "EXPIRED"
    CANCELED = "CANCELED"
    WEBHOOK_FAILED = "WEBHOOK_FAILED"


class WebhookStatus(StrEnum):
    """What became of the request's webhook."""

    PENDING = "PENDING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"
    NO_WEBHOOK_PROVIDED = "NO_WEBHOOK_PROVIDED"


@dataclass(frozen=True, slots=True)
class RetryConfig:
    """How often the model is asked, and how long between."""

    attempts_max: int = 3
    first_delay_s: float = 1.0
    delay_max_s: float = 5.0

    def delay_s(self, attempts: int) -> float:
        """Returns the time until the next attempt, after `attempts` of them (1 or more)."""
        return min(self.delay_max_s, self.first_delay_s * 2.0 ** (attempts - 1))


@dataclass(slots=True, eq=False)
class AsyncRequest:
    """One request."""

    id: str
    model: str
    deployment_id: str
    body: bytes
    """The model's input; empty when the request is over."""
    headers: tuple[tuple[bytes, bytes], ...]
    """Those of the client's request that reach the model."""
    webhook: str | None
    priority: int
    created_at: float
    expires_at: float
    """When it leaves the queue, if it still waits then."""
    retries: RetryConfig = field(default_factory=RetryConfig)
    status: Status = Status.QUEUED
    webhook_status: WebhookStatus = WebhookStatus.NO_WEBHOOK_PROVIDED
    status_at: float = 0.0
    """When `status` became what it is."""
    errors: tuple[tuple[str, str], ...] = ()
    """Codes and texts."""
    result: bytes | None = None
    """JSON; None while there is none, when it is too large to be kept, and when it was dropped."""


class _Line:
    """The requests of one deployment that wait or run."""

    __slots__ = ("in_progress", "queued", "queued_bytes", "waiting")

    def __init__(self) -> None:
        self.waiting: dict[int, OrderedDict[str, AsyncRequest]] = {priority: OrderedDict() for priority in PRIORITIES}
        self.queued = 0
        """Those that wait here, and those that were taken and have no slot yet."""
        self.queued_bytes = 0
        self.in_progress = 0


class AsyncQueue:
    """Every asynchronous request that is known."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}
        self._requests: dict[str, AsyncRequest] = {}
        self._queued: dict[str, AsyncRequest] = {}
        self._finished: deque[AsyncRequest] = deque()
        """In the order of their end."""
        self._with_result: deque[AsyncRequest] = deque()
        self._results_bytes = 0

    def get(self, request_id: str) -> AsyncRequest | None:
        """Finds a request by its id."""
        return self._requests.get(request_id)

    def counts(self, deployment_id: str) -> tuple[int, int]:
        """Returns how many requests of a deployment are queued, and how many run."""
        line = self._lines.get(deployment_id)
        return (line.queued, line.in_progress) if line is not None else (0, 0)

    def unfinished(self) -> list[AsyncRequest]:
        """Those that wait or run."""
        return [r for r in self._requests.values() if r.status in (Status.QUEUED, Status.IN_PROGRESS)]

    def submit(self, request: AsyncRequest) -> bool:
        """Takes a request into the queue; returns False when the queue of its deployment is full."""
        line = self._lines.setdefault(request.deployment_id, _Line())
        if line.queued >= QUEUED_MAX or line.queued_bytes + len(request.body) > QUEUED_BYTES_MAX:
            return False
        request.status_at = request.created_at
        if request.webhook is not None:
            request.webhook_status = WebhookStatus.PENDING
        line.waiting[request.priority][request.id] = request
        line.queued += 1
        line.queued_bytes += len(request.body)
        self._requests[request.id] = self._queued[request.id] = request
        return True

    def take(self, deployment_id: str) -> AsyncRequest | None:
        """Returns the next request to ask a slot for; it counts as queued until `started`."""
        line = self._lines.get(deployment_id)
        if line is not None:
            for priority in PRIORITIES:
                if line.waiting[priority]:
                    return line.waiting[priority].popitem(last=False)[1]
        return None

    def put_back(self, request: AsyncRequest) -> None:
        """There was no slot: the request is the next again among those of its priority."""
        waiting = self._lines[request.deployment_id].waiting[request.priority]
        waiting[request.id] = request
        waiting.move_to_end(request.id, last=False)

    def started(self, request: AsyncRequest, now: float) -> None:
        """The request has a slot."""
        self._leave_queue(request)
        self._lines[request.deployment_id].in_progress += 1
        self._set(request, Status.IN_PROGRESS, now)

    def finished(
        self,
        request: AsyncRequest,
        status: Status,
        now: float,
        errors: tuple[tuple[str, str], ...] = (),
        result: bytes | None = None,
    ) -> None:
        """The request is over, as far as the model is concerned."""
        line = self._lines[request.deployment_id]
        if request.status is Status.QUEUED:
            self._leave_queue(request)
        elif request.status is Status.IN_PROGRESS:
            line.in_progress -= 1
        if not line.queued and not line.in_progress:
            del self._lines[request.deployment_id]
        request.body = b""
        request.errors = errors
        self._set(request, status, now)
        self._finished.append(request)
        if result is not None and len(result) <= RESULT_BYTES_MAX:
            request.result = result
            self._with_result.append(request)
            self._results_bytes += len(result)
        self._forget(now)

    def cancel(self, request: AsyncRequest, now: float) -> bool:
        """Takes a queued request out; returns False when it is not queued any more."""
        if request.status is not Status.QUEUED:
            return False
        if request.webhook is not None:
            request.webhook_status = WebhookStatus.CANCELED
        self.finished(request, Status.CANCELED, now)
        return True

    def expire(self, now: float) -> list[AsyncRequest]:
        """Ends what has been queued for too long, and forgets what is over for long. Returns the former."""
        self._forget(now)
        late = [request for request in self._queued.values() if request.expires_at <= now]
        for request in late:
            waited_s = now - request.created_at
            text = f"The request has waited {waited_s:.0f} s, which is all that max_time_in_queue_seconds allows."
            self.finished(request, Status.EXPIRED, now, (("REQUEST_EXPIRED", text),))
        return late

    def webhook_done(self, request: AsyncRequest, now: float, *, is_delivered: bool) -> None:
        """The webhook has the result, or will never have it."""
        request.webhook_status = WebhookStatus.SUCCEEDED if is_delivered else WebhookStatus.FAILED
        if not is_delivered and request.status is Status.SUCCEEDED:
            self._set(request, Status.WEBHOOK_FAILED, now)

    def _leave_queue(self, request: AsyncRequest) -> None:
        del self._queued[request.id]
        line = self._lines[request.deployment_id]
        line.waiting[request.priority].pop(request.id, None)
        line.queued -= 1
        line.queued_bytes -= len(request.body)

    @staticmethod
    def _set(request: AsyncRequest, status: Status, now: float) -> None:
        request.status = status
        request.status_at = now

    def _forget(self, now: float) -> None:
        finished = self._finished
        while finished and (len(finished) > FINISHED_MAX or finished[0].status_at + FINISHED_S <= now):
            self._drop_result(finished[0])
            del self._requests[finished.popleft().id]
        while self._with_result and (self._results_bytes > RESULTS_BYTES_MAX or self._with_result[0].result is None):
            self._drop_result(self._with_result.popleft())

    def _drop_result(self, request: AsyncRequest) -> None:
        if request.result is not None:
            self._results_bytes -= len(request.result)
            request.result = None
