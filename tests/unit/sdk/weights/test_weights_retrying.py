from __future__ import annotations

import pytest

from penstock.weights.errors import TransferError
from penstock.weights.retrying import RetryPolicy, jitter

BROKE = TransferError("broke", retryable=True)


def test_the_wait_doubles_up_to_a_limit() -> None:
    policy = RetryPolicy(failures_max=20)

    delays = [policy.delay_s(BROKE, failures=failures, attempts=failures, jitter=1.0) for failures in range(1, 9)]

    assert delays == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_jitter_shortens_the_wait_by_half_at_most() -> None:
    assert RetryPolicy().delay_s(BROKE, failures=1, attempts=1, jitter=0.0) == 0.25
    assert 0.0 <= jitter() <= 1.0


@pytest.mark.parametrize(
    ("error", "failures", "attempts"),
    [(BROKE, 6, 6), (BROKE, 1, 200), (TransferError("404", retryable=False), 1, 1)],
)
def test_it_is_given_up_in_the_end(error: TransferError, failures: int, attempts: int) -> None:
    assert RetryPolicy().delay_s(error, failures=failures, attempts=attempts, jitter=0.5) is None


def test_a_server_that_asks_for_time_gets_it_within_limits() -> None:
    patient = TransferError("429", retryable=True, retry_after_s=60.0)
    too_long = TransferError("429", retryable=True, retry_after_s=3600.0)

    assert RetryPolicy().delay_s(patient, failures=1, attempts=1, jitter=0.0) == 60.0
    assert RetryPolicy().delay_s(too_long, failures=1, attempts=1, jitter=0.0) is None
