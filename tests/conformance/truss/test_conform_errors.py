"""truss.md section 2.4: what fails, the status and headers that its client gets, and what is logged."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from penstock_testing.platform import Platform
from penstock_testing.static_platform import wait_until
from penstock_testing.truss_conformance import ANSWER_SECONDS, ModelDoor

Door = Callable[[str], ModelDoor]
INTERNAL = "Internal Server Error (in model/chainlet)."


def logged(platform: Platform, text: str) -> list[dict[str, Any]]:
    """Log lines of the runners that hold `text`; waits for one."""

    def lines() -> list[dict[str, Any]]:
        found = [line for line in platform.output().splitlines() if text in line and line.startswith("{")]
        return [json.loads(line) for line in found]

    wait_until(lambda: bool(lines()), ANSWER_SECONDS, f"a log line has {text!r}")
    return lines()


@pytest.mark.parametrize("kind", ["raise", "deep", "exit"])
def test_what_a_model_raises_is_500_and_tells_nothing(door: Door, kind: str) -> None:
    answer = door("failing").call({"kind": kind})

    assert (answer.status, answer.code, answer.source) == (500, "600", "04")
    assert answer.error == INTERNAL


def test_a_result_that_cannot_be_sent_is_an_error_of_the_server(door: Door) -> None:
    answer = door("failing").call({"kind": "not json"})

    assert (answer.status, answer.code, answer.source) == (500, "500", "04")
    assert answer.error.startswith("Unhandled exception: TypeError: ")


def test_a_model_serves_on_after_it_has_raised(door: Door) -> None:
    door("failing").call({"kind": "raise"})
    door("failing").call({"kind": "exit"})

    assert door("failing").predict({"kind": "?"}) == "fine"


def test_the_traceback_is_logged_from_the_last_frame_of_the_model(platform: Platform, door: Door) -> None:
    door("failing").call({"kind": "deep"})

    text = json.dumps(logged(platform, "LookupError")[-1])
    assert "model/model.py" in text and "helper.py" in text and "swordfish" in text
    assert "penstock_runner" not in text


def test_an_exception_of_fastapi_keeps_status_and_detail(door: Door) -> None:
    answer = door("failing").call({"kind": "fastapi"})

    assert (answer.status, answer.error, answer.code, answer.source) == (422, "too many tokens", "600", "04")


def test_an_exception_of_starlette_keeps_detail_and_headers(door: Door) -> None:
    answer = door("failing").call({"kind": "starlette"})

    assert (answer.status, answer.error, answer.code) == (429, {"retry": 7}, "600")
    assert answer.headers["Retry-After"] == "7"


def test_a_detail_with_a_stack_is_logged_as_of_a_chainlet(platform: Platform, door: Door) -> None:
    answer = door("failing").call({"kind": "detail"})

    assert answer.status == 500
    assert answer.error["exception_message"] == "of a chainlet"
    assert logged(platform, "Chainlet raised Exception:")


def test_what_preprocess_and_predict_raise_is_500(door: Door) -> None:
    for value in ({"no value": 1}, {"value": -5}):
        answer = door("pre-and-post").call(value)
        assert (answer.status, answer.error) == (500, INTERNAL)


def test_another_model_than_model_is_404(door: Door) -> None:
    for path in ("models/other:predict", "models/other", "models/other/loaded"):
        method = "POST" if path.endswith("predict") else "GET"
        answer = door("sync-predict").call({}, endpoint=f"sync/v1/{path}", method=method)
        assert (answer.status, answer.code, answer.source) == (404, "600", "04"), path


def test_a_missing_secret_in_predict_is_500(door: Door) -> None:
    assert door("secrets").predict("missing")["error"] == "SecretNotFound"


def test_an_unknown_path_of_the_model_is_404(door: Door) -> None:
    assert door("sync-predict").get("sync/nowhere").status == 404


def test_the_ids_of_a_request_are_in_its_log(platform: Platform, door: Door) -> None:
    ids = {"X-Baseten-Request-Id": "id-of-the-request", "X-Baseten-Chain-Request-Id": "id-of-the-chain"}
    door("failing").call({"kind": "raise"}, headers=ids)

    line = logged(platform, "id-of-the-request")[-1]
    assert (line["request_id"], line["chain_request_id"]) == ("id-of-the-request", "id-of-the-chain")
    assert line["event"] == INTERNAL


def test_no_body_of_an_error_names_the_cause(door: Door) -> None:
    for kind in ("raise", "deep"):
        answer = door("failing").call({"kind": kind})
        assert b"swordfish" not in answer.body
        assert "swordfish" not in str(answer.headers)
