"""What a client asks for with async_predict, read and checked. Pure but for the look at the webhook's address."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, NoReturn

from penstock_edge.async_queue import PRIORITIES, RetryConfig
from penstock_edge.webhook import BadWebhookError, WebhookRules, check_endpoint

PAYLOAD_BYTES_MAX = 256 * 1024
"""Largest body of a submission."""

QUEUE_TIME_DEFAULT_S = 600
QUEUE_TIME_MIN_S = 10
QUEUE_TIME_MAX_S = 72 * 3600

ATTEMPTS_MAX = 10
FIRST_DELAY_MS_MAX = 10_000
DELAY_MS_MAX = 60_000


class BadSubmissionError(ValueError):
    """The submission cannot be taken; the text is for the client."""


@dataclass(frozen=True, slots=True)
class Submission:
    """One request that shall be queued."""

    body: bytes
    """The model's input as JSON."""
    webhook: str | None
    priority: int
    queue_time_s: int
    retries: RetryConfig


def read_submission(payload: bytes, rules: WebhookRules) -> Submission:
    """Reads the body of a POST to async_predict. Keys that are not known are ignored, as the original does.

    Raises:
        BadSubmissionError: it is not what it has to be.
    """
    try:
        fields = json.loads(payload, parse_constant=_no_number)
    except RecursionError:
        raise BadSubmissionError("the body is nested too deeply") from None
    except ValueError as error:
        raise BadSubmissionError(f"the body is not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise BadSubmissionError("the body must be a JSON object with the key model_input")
    if "model_input" not in fields:
        raise BadSubmissionError("model_input is missing")
    webhook = fields.get("webhook_endpoint") or None
    if webhook is not None:
        if not isinstance(webhook, str):
            raise BadSubmissionError("webhook_endpoint must be a string or null")
        try:
            check_endpoint(webhook, rules)
        except BadWebhookError as error:
            raise BadSubmissionError(str(error)) from None
    try:
        body = json.dumps(fields["model_input"], allow_nan=False, separators=(",", ":")).encode()
    except (ValueError, RecursionError):
        raise BadSubmissionError(
            "model_input has a number that JSON has no form for, or is nested too deeply"
        ) from None
    return Submission(
        body=body,
        webhook=webhook,
        priority=_whole(fields, "priority", PRIORITIES[0], PRIORITIES[0], PRIORITIES[-1]),
        queue_time_s=_whole(
            fields, "max_time_in_queue_seconds", QUEUE_TIME_DEFAULT_S, QUEUE_TIME_MIN_S, QUEUE_TIME_MAX_S
        ),
        retries=_retries(fields.get("inference_retry_config")),
    )


def _retries(given: object) -> RetryConfig:
    default = RetryConfig()
    if given is None:
        return default
    if not isinstance(given, dict):
        raise BadSubmissionError("inference_retry_config must be a JSON object or null")

    def whole(name: str, default: float, least: int, most: int) -> int:
        return _whole(given, name, round(default), least, most, "inference_retry_config.")

    return RetryConfig(
        attempts_max=whole("max_attempts", default.attempts_max, 1, ATTEMPTS_MAX),
        first_delay_s=whole("initial_delay_ms", default.first_delay_s * 1000, 0, FIRST_DELAY_MS_MAX) / 1000,
        delay_max_s=whole("max_delay_ms", default.delay_max_s * 1000, 0, DELAY_MS_MAX) / 1000,
    )


def _whole(fields: dict[str, Any], name: str, default: int, least: int, most: int, where: str = "") -> int:
    value = fields.get(name)
    if value is None:
        return default
    is_whole = isinstance(value, int) or (isinstance(value, float) and math.isfinite(value) and value.is_integer())
    if isinstance(value, bool) or not is_whole or not least <= value <= most:
        raise BadSubmissionError(f"{where}{name} must be a whole number from {least} to {most}")
    return int(value)


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number in JSON")
