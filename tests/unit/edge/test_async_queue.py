from __future__ import annotations

import pytest

from penstock_edge import async_queue
from penstock_edge.async_queue import AsyncQueue, AsyncRequest, RetryConfig, Status, WebhookStatus


def request(
    name: str,
    *,
    deployment: str = "d1",
    priority: int = 0,
    body: bytes = b"{}",
    webhook: str | None = None,
    at: float = 0,
) -> AsyncRequest:
    return AsyncRequest(
        id=name,
        model="m",
        deployment_id=deployment,
        body=body,
        headers=(),
        webhook=webhook,
        priority=priority,
        created_at=at,
        expires_at=at + 100,
    )


def queue_of(*requests: AsyncRequest) -> AsyncQueue:
    queue = AsyncQueue()
    for one in requests:
        assert queue.submit(one)
    return queue


def test_lower_priorities_go_first_and_equals_in_order() -> None:
    queue = queue_of(request("a", priority=2), request("b"), request("c", priority=1), request("d"))

    taken = [queue.take("d1") for _ in range(5)]

    assert [one.id if one else None for one in taken] == ["b", "d", "c", "a", None]
    assert queue.counts("d1") == (4, 0), "who was taken is queued until it has a slot"


def test_deployments_have_queues_of_their_own() -> None:
    queue = queue_of(request("a", deployment="d1"), request("b", deployment="d2"))

    assert [one.id for one in (queue.take("d2"), queue.take("d1")) if one] == ["b", "a"]
    assert queue.take("d3") is None and queue.counts("d3") == (0, 0)


def test_who_found_no_slot_is_the_next_again() -> None:
    queue = queue_of(request("a"), request("b"))
    first = queue.take("d1")
    assert first is not None
    queue.put_back(first)

    assert queue.take("d1") is first


def test_a_request_goes_through_its_life() -> None:
    one = request("a", webhook="https://x")
    queue = queue_of(one)
    assert (one.status, one.webhook_status, one.status_at) == (Status.QUEUED, WebhookStatus.PENDING, 0)

    queue.take("d1")
    queue.started(one, 5)
    assert (one.status, one.status_at, queue.counts("d1")) == (Status.IN_PROGRESS, 5, (0, 1))
    queue.finished(one, Status.SUCCEEDED, 9, result=b"1")
    assert (one.status, one.status_at, queue.counts("d1")) == (Status.SUCCEEDED, 9, (0, 0))
    assert (one.body, one.result, queue.unfinished()) == (b"", b"1", [])
    queue.webhook_done(one, 10, is_delivered=True)
    assert (one.status, one.webhook_status) == (Status.SUCCEEDED, WebhookStatus.SUCCEEDED)


@pytest.mark.parametrize(("before", "after"), [("SUCCEEDED", "WEBHOOK_FAILED"), ("FAILED", "FAILED")])
def test_a_webhook_that_fails_shows_unless_the_request_has_failed_too(before: str, after: str) -> None:
    one = request("a", webhook="https://x")
    queue = queue_of(one)
    queue.take("d1")
    queue.started(one, 1)
    queue.finished(one, Status(before), 2)
    queue.webhook_done(one, 3, is_delivered=False)

    assert (one.status, one.webhook_status) == (after, WebhookStatus.FAILED)


def test_only_what_is_queued_can_be_cancelled() -> None:
    waiting, taken, running = request("a", webhook="https://x"), request("b"), request("c")
    queue = queue_of(running, taken, waiting)
    queue.take("d1")
    queue.started(running, 1)
    queue.take("d1")

    assert queue.cancel(waiting, 2) and queue.cancel(taken, 2)
    assert not queue.cancel(running, 2) and not queue.cancel(waiting, 3)
    assert (waiting.status, waiting.webhook_status, waiting.status_at) == (Status.CANCELED, WebhookStatus.CANCELED, 2)
    assert queue.take("d1") is None and queue.counts("d1") == (0, 1)


def test_what_waits_for_too_long_expires_also_when_it_was_taken() -> None:
    taken, waiting, late, running = request("a"), request("b"), request("c", at=50), request("d")
    queue = queue_of(running, taken, waiting, late)
    queue.take("d1")
    queue.started(running, 1)
    queue.take("d1")

    assert queue.expire(99.9) == []
    assert queue.expire(100) == [taken, waiting]
    assert taken.status is Status.EXPIRED and taken.errors[0][0] == "REQUEST_EXPIRED"
    assert queue.counts("d1") == (1, 1)
    assert queue.take("d1") is late


def test_a_queue_is_bounded_by_number_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(async_queue, "QUEUED_MAX", 3)
    monkeypatch.setattr(async_queue, "QUEUED_BYTES_MAX", 10)
    queue = queue_of(request("a"), request("b"), request("c"))
    assert not queue.submit(request("d")) and queue.get("d") is None
    assert queue.submit(request("e", deployment="d2", body=b"12345678"))
    assert not queue.submit(request("f", deployment="d2", body=b"123"))

    first = queue.take("d1")
    assert first is not None
    queue.started(first, 0)
    assert queue.submit(request("d")), "there is room again"
    large = queue.take("d2")
    assert large is not None
    queue.started(large, 0)
    assert queue.submit(request("f", deployment="d2", body=b"1234567890"))


def test_what_is_over_is_forgotten_after_an_hour_and_when_there_is_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(async_queue, "FINISHED_MAX", 2)
    requests = [request(name) for name in "abc"]
    queue = queue_of(*requests)
    for at, one in enumerate(requests):
        queue.cancel(one, at)

    assert [queue.get(name) is not None for name in "abc"] == [False, True, True]
    queue.expire(3600)
    assert queue.get("b") is not None
    queue.expire(3601)
    assert (queue.get("b"), queue.get("c") is not None) == (None, True)


def test_results_are_bounded_each_and_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(async_queue, "RESULT_BYTES_MAX", 4)
    monkeypatch.setattr(async_queue, "RESULTS_BYTES_MAX", 10)
    requests = [request(name) for name in "abcd"]
    queue = queue_of(*requests)
    for one, size in zip(requests, (5, 4, 4, 4), strict=True):
        queue.take("d1")
        queue.started(one, 0)
        queue.finished(one, Status.SUCCEEDED, 0, result=b"x" * size)

    assert [one.result for one in requests] == [None, None, b"xxxx", b"xxxx"]
    assert all(queue.get(one.id) for one in requests)
    queue.expire(3600)
    assert requests[3].result is None and queue.get("d") is None


def test_delays_double_up_to_their_limit() -> None:
    assert [RetryConfig().delay_s(attempts) for attempts in (1, 2, 3, 4, 9)] == [1, 2, 4, 5, 5]
    assert RetryConfig(first_delay_s=0).delay_s(5) == 0
