from __future__ import annotations

import json
from typing import Any

import pytest

from penstock_edge.async_queue import RetryConfig
from penstock_edge.async_submission import BadSubmissionError, Submission, read_submission
from penstock_edge.webhook import WebhookRules

RULES = WebhookRules()


def read(**fields: Any) -> Submission:
    return read_submission(json.dumps({"model_input": {"a": 1}, **fields}).encode(), RULES)


def test_defaults_are_those_of_the_original() -> None:
    assert read() == Submission(b'{"a":1}', None, 0, 600, RetryConfig(3, 1.0, 5.0))
    assert read(webhook_endpoint=None, priority=None, inference_retry_config=None, unknown=1) == read()


def test_everything_can_be_set() -> None:
    retries = {"max_attempts": 10, "initial_delay_ms": 10, "max_delay_ms": 60000}

    got = read(
        webhook_endpoint="https://example.org/x?y=1",
        priority=2,
        max_time_in_queue_seconds=259200,
        inference_retry_config=retries,
    )

    assert got == Submission(b'{"a":1}', "https://example.org/x?y=1", 2, 259200, RetryConfig(10, 0.01, 60.0))


@pytest.mark.parametrize("value", [None, 0, "", "\ud800", [1e300, 10**400, -0.0], {"ä": "\u2028"}])
def test_the_input_stays_what_it_was(value: object) -> None:
    assert json.loads(read(model_input=value).body) == value


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[1]", "object"),
        (b"{}", "model_input is missing"),
        (b'{"model_input": NaN}', "no number"),
        (b'{"model_input": 1e999}', "no form"),
        (b'{"model_input": ' + b"1" * 5000 + b"}", "not JSON"),
        (b'{"model_input": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "deeply"),
        (b'{"model_input": 1, "webhook_endpoint": 5}', "string"),
        (b'{"model_input": 1, "webhook_endpoint": "http://127.0.0.1/"}', "public internet"),
        (b'{"model_input": 1, "priority": 3}', "priority must be a whole number from 0 to 2"),
        (b'{"model_input": 1, "priority": true}', "priority"),
        (b'{"model_input": 1, "priority": 1.5}', "priority"),
        (b'{"model_input": 1, "priority": 1e999}', "priority"),
        (b'{"model_input": 1, "max_time_in_queue_seconds": 9}', "from 10 to 259200"),
        (b'{"model_input": 1, "max_time_in_queue_seconds": "60"}', "from 10 to 259200"),
        (b'{"model_input": 1, "inference_retry_config": 3}', "object"),
        (b'{"model_input": 1, "inference_retry_config": {"max_attempts": 0}}', "inference_retry_config.max_attempts"),
        (b'{"model_input": 1, "inference_retry_config": {"max_delay_ms": 60001}}', "from 0 to 60000"),
    ],
)
def test_what_cannot_be_taken_says_why(payload: bytes, text: str) -> None:
    with pytest.raises(BadSubmissionError, match=text):
        read_submission(payload, RULES)
