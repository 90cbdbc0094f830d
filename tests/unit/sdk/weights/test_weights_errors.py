from __future__ import annotations

from penstock.weights.errors import TransferError, WeightsError


def test_the_key_leads_the_text() -> None:
    assert str(WeightsError("weights[0].source", "is not there")) == "weights[0].source: is not there"
    assert str(WeightsError("", "the disk is full")) == "the disk is full"


def test_a_failed_attempt_keeps_what_was_fetched_unless_it_says_otherwise() -> None:
    error = TransferError("broke", retryable=True)

    assert (error.is_stale, error.retry_after_s) == (False, None)
