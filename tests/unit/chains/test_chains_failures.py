"""What a chainlet answers when a call goes wrong."""

from __future__ import annotations

import json
from typing import Any

import fastapi
import pydantic
import structlog

from penstock.chains.remote.frames import read_error, read_frame
from penstock.chains.serving.failures import ERRORS_SHOWN_MAX, failed, failure_frame, refusal_text, refused


def invalid(kind: Any, value: object) -> pydantic.ValidationError:
    try:
        pydantic.TypeAdapter(kind).validate_python(value)
    except pydantic.ValidationError as exc:
        return exc
    raise AssertionError


def test_a_place_in_a_structure_is_shown_as_code() -> None:
    text = refusal_text(invalid(dict[str, list[int]], {"a": [1, "x"]}))

    assert text.startswith("Input Parsing Error:\n  `a[1]`: Input should be a valid integer")


def test_a_million_errors_are_not_all_told() -> None:
    lines = refusal_text(invalid(list[int], ["x"] * 150)).splitlines()

    assert len(lines) == ERRORS_SHOWN_MAX + 2
    assert lines[-1] == "  … and 50 more."


def test_the_input_is_not_repeated() -> None:
    assert b"secret" not in refused(invalid(int, "secret")).body


def test_a_failure_has_the_status_and_headers_of_an_http_exception() -> None:
    exc = failed(fastapi.HTTPException(409, "taken", headers={"a": "b"}))

    detail: Any = exc.detail
    assert (exc.status_code, exc.headers) == (409, {"a": "b"})
    assert detail["exception_cls_name"] == "HTTPException"


def test_a_failure_in_a_frame_is_logged_once() -> None:
    with structlog.testing.capture_logs() as logs:
        status, body = read_error(read_frame(failure_frame(KeyError("k"), is_logged=False))[1])
        failure_frame(KeyError("k"), is_logged=True)

    assert (status, json.loads(body)["error"]["exception_cls_name"]) == (500, "KeyError")
    assert len(logs) == 1
    assert logs[0]["exception"].startswith("Chainlet-Traceback")
