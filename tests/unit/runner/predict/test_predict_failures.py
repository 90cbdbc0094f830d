"""How a request fails: the table of truss.md section 2.4."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastapi
import numpy as np
import pytest
import starlette.exceptions
import structlog
from starlette.responses import Response

from penstock_runner.model.errors import ModelDefinitionError
from penstock_runner.model.loaded import TRACEBACK_LENGTH_MAX
from penstock_runner.predict.failures import (
    BodyTooLarge,
    ClientGone,
    InputParsingError,
    MethodNotImplemented,
    ModelMissing,
    ModelNotReady,
    ServerFault,
    UserCodeError,
    add_error_headers,
    failure_response,
    model_traceback,
)

GENERIC = "Internal Server Error (in model/chainlet)."
MODEL_FILE = Path("model.py")
BOTH_HTTP_EXCEPTIONS = pytest.mark.parametrize("kind", [fastapi.HTTPException, starlette.exceptions.HTTPException])


def failed(exc: BaseException, **arguments: Any) -> tuple[Response, list[Any]]:
    with structlog.testing.capture_logs() as logs:
        response = failure_response(exc, model_file=arguments.pop("model_file", MODEL_FILE), **arguments)
    return response, logs


def caught(call: Callable[[], Any]) -> BaseException:
    try:
        call()
    except BaseException as exc:
        return exc
    raise AssertionError("nothing was raised")


def error_of(response: Response) -> Any:
    body = json.loads(bytes(response.body))
    assert list(body) == ["error"]
    return body["error"]


@pytest.mark.parametrize(
    ("exc", "status", "code", "error"),
    [
        (ModelMissing("other"), 404, "600", "other"),
        (ModelNotReady(), 503, "600", "Model with name model is not ready."),
        (InputParsingError("Invalid JSON payload: x"), 400, "700", "Invalid JSON payload: x"),
        (BodyTooLarge(10), 413, "700", "Request body exceeds the limit of 10 bytes."),
        (ModelDefinitionError("two"), 412, "600", "ModelDefinitionError: two"),
        (MethodNotImplemented("no `x`"), 404, "700", "no `x`"),
        (ValueError("private"), 500, "600", GENERIC),
        (KeyError("private"), 500, "600", GENERIC),
        (SystemExit(3), 500, "600", GENERIC),
        (BaseExceptionGroup("private", [ValueError("x")]), 500, "600", GENERIC),
        (UserCodeError(ModelDefinitionError("private")), 500, "600", GENERIC),
        (fastapi.HTTPException(418, "tea"), 418, "600", "tea"),
        (fastapi.HTTPException(422, {"a": [1]}), 422, "600", {"a": [1]}),
        (starlette.exceptions.HTTPException(404), 404, "600", "Not Found"),
        (ServerFault(TypeError("odd")), 500, "500", "Unhandled exception: TypeError: odd"),
        (ClientGone("predict"), 499, "600", "Client disconnected, skipping `predict`."),
        (ClientGone(), 499, "600", "Client disconnected while reading request."),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_every_cause_has_its_status_code_and_body(exc: BaseException, status: int, code: str, error: Any) -> None:
    response, _ = failed(exc)

    assert response.status_code == status
    assert response.headers["X-BASETEN-ERROR-CODE"] == code
    assert response.headers["X-BASETEN-ERROR-SOURCE"] == "04"
    assert response.headers["content-type"] == "application/json"
    assert response.headers["content-length"] == str(len(response.body))
    assert error_of(response) == error


def test_body_of_an_exception_is_that_of_truss_to_the_byte() -> None:
    assert failed(ValueError("x"))[0].body == b'{"error":"Internal Server Error (in model/chainlet)."}'


def test_details_beyond_ascii_are_sent_as_they_are() -> None:
    assert failed(fastapi.HTTPException(400, "日本"))[0].body == '{"error":"日本"}'.encode()


@pytest.fixture
def deep_model(tmp_path: Path) -> Callable[[], BaseException]:
    """Raises through two frames of model.py, with one of a package of the model between them and one below."""
    (tmp_path / "model.py").write_text("def predict(call):\n    call()\n\ndef again(call):\n    call()\n")
    (tmp_path / "package.py").write_text("def through(call):\n    call()\n\ndef fail():\n    raise ValueError('bad')\n")
    scopes: list[dict[str, Any]] = []
    for name in ("model.py", "package.py"):
        scope: dict[str, Any] = {}
        exec(compile((tmp_path / name).read_text(), str(tmp_path / name), "exec"), scope)
        scopes.append(scope)
    model, package = scopes
    return lambda: caught(lambda: model["predict"](lambda: package["through"](lambda: model["again"](package["fail"]))))


def test_traceback_begins_with_the_last_frame_of_the_model_file(
    deep_model: Callable[[], BaseException], tmp_path: Path
) -> None:
    assert model_traceback(deep_model(), tmp_path / "model.py").splitlines() == [
        "Traceback (most recent call last):",
        f'  File "{tmp_path}/model.py", line 5, in again',
        "    call()",
        f'  File "{tmp_path}/package.py", line 5, in fail',
        "    raise ValueError('bad')",
        "ValueError: bad",
    ]


def test_traceback_of_the_exception_itself_stays_whole(deep_model: Callable[[], BaseException], tmp_path: Path) -> None:
    exc = deep_model()
    before = exc.__traceback__

    model_traceback(exc, tmp_path / "model.py")

    assert exc.__traceback__ is before


def test_traceback_without_a_frame_of_the_model_file_shows_what_there_is() -> None:
    def fail() -> None:
        json.loads("{")

    text = model_traceback(caught(fail), Path("elsewhere/model.py"))

    assert "JSONDecodeError" in text
    assert json.decoder.__file__ in text


def test_exception_of_the_model_is_logged_and_never_sent(
    deep_model: Callable[[], BaseException], tmp_path: Path
) -> None:
    response, logs = failed(deep_model(), model_file=tmp_path / "model.py")

    assert [log["event"] for log in logs] == [GENERIC]
    assert logs[0]["log_level"] == "error"
    assert "ValueError: bad" in logs[0]["exception"]
    assert "predict" not in logs[0]["exception"]
    assert b"bad" not in response.body


def test_wrapped_exception_is_logged_with_its_text() -> None:
    _, logs = failed(UserCodeError(ModelDefinitionError("a generator with `postprocess`")))

    assert "ModelDefinitionError: a generator with `postprocess`" in logs[0]["exception"]


@BOTH_HTTP_EXCEPTIONS
def test_http_exception_is_logged_with_its_traceback(kind: type[Any]) -> None:
    def fail() -> None:
        raise kind(429, "slow down")

    response, logs = failed(caught(fail), model_file=Path(__file__))

    assert response.status_code == 429
    assert [log["event"] for log in logs] == ["Model raised HTTPException"]
    assert "in fail" in logs[0]["exception"]


@BOTH_HTTP_EXCEPTIONS
def test_headers_of_an_http_exception_are_sent(kind: type[Any]) -> None:
    headers = {
        "Retry-After": "5",
        "Content-Length": "3",
        "Content-Type": "text/html",
        "Transfer-Encoding": "chunked",
        "X-Baseten-Error-Code": "1",
        "X-Split": "a\r\nSet-Cookie: b",
        "X-Wide": "日",
        "bad name": "x",
    }

    response, _ = failed(kind(503, "busy", headers=headers))

    assert dict(response.headers) == {
        "retry-after": "5",
        "x-baseten-error-source": "04",
        "x-baseten-error-code": "600",
        "content-type": "application/json",
        "content-length": str(len(response.body)),
    }
    assert error_of(response) == "busy"


@pytest.mark.parametrize("status", [204, 205, 304])
def test_status_without_a_body_gets_none(status: int) -> None:
    response, _ = failed(starlette.exceptions.HTTPException(status, "x"))

    assert (response.status_code, response.body) == (status, b"")
    assert response.headers["x-baseten-error-code"] == "600"


@pytest.mark.parametrize("status", [0, 100, 199, 600, 1011, "404", None])
def test_status_that_cannot_be_sent_is_an_error_of_the_model(status: Any) -> None:
    exc = starlette.exceptions.HTTPException(400, "x")
    exc.status_code = status

    response, logs = failed(exc)

    assert (response.status_code, error_of(response)) == (500, GENERIC)
    assert logs[0]["event"] == "HTTPException with a status that cannot be sent"


@pytest.mark.parametrize(
    ("detail", "error"),
    [
        (np.arange(2), [0, 1]),
        ("\ud800", "\ud800"),
        ("日本", "日本"),
        (None, None),
        ({1, 2}, GENERIC),
        (b"x", GENERIC),
        (object(), GENERIC),
    ],
    ids=lambda value: type(value).__name__,
)
def test_any_detail_gives_a_body(detail: Any, error: Any) -> None:
    exc = starlette.exceptions.HTTPException(400)
    exc.detail = detail

    response, _ = failed(exc)

    assert response.status_code == 400
    assert error_of(response) == error


CHAINED = {
    "exception_cls_name": "ValueError",
    "exception_module_name": "my_chain",
    "exception_message": "no such voice",
    "user_stack_trace": [
        {"filename": "my_chain.py", "lineno": 12, "name": "run_remote", "line": "await self._voice.run_remote(text)"},
        {"filename": "my_chain.py", "lineno": None, "name": "speak", "line": None},
    ],
}


def test_error_of_a_chainlet_is_logged_in_its_own_form_and_sent_on() -> None:
    response, logs = failed(fastapi.HTTPException(500, CHAINED))

    assert [log["event"] for log in logs] == ["Chainlet raised Exception:"]
    assert logs[0]["exception"].splitlines() == [
        "Chainlet-Traceback (most recent call last):",
        '  File "my_chain.py", line 12, in run_remote',
        "    await self._voice.run_remote(text)",
        '  File "my_chain.py", line None, in speak',
        "ValueError: no such voice",
        "(Exception class defined in `my_chain`.)",
    ]
    assert error_of(response) == CHAINED


@pytest.mark.parametrize(
    "detail",
    [
        {"user_stack_trace": 5},
        {"user_stack_trace": [{}], "exception_cls_name": "X", "exception_message": ""},
        {"user_stack_trace": []},
        "user_stack_trace",
        ["user_stack_trace"],
    ],
    ids=repr,
)
def test_detail_that_only_looks_like_one_is_any_other_http_exception(detail: Any) -> None:
    response, logs = failed(fastapi.HTTPException(502, detail))

    assert [log["event"] for log in logs] == ["Model raised HTTPException"]
    assert (response.status_code, error_of(response)) == (502, detail)


def test_error_of_a_chainlet_has_a_limit_in_the_log() -> None:
    _, logs = failed(fastapi.HTTPException(500, {**CHAINED, "exception_message": "x" * 1_000_000}))

    assert len(logs[0]["exception"]) == TRACEBACK_LENGTH_MAX


@pytest.mark.parametrize(
    ("exc", "level"),
    [
        (InputParsingError("x"), None),
        (ModelMissing("x"), None),
        (ModelNotReady(), None),
        (MethodNotImplemented("x"), None),
        (ClientGone("predict"), "warning"),
        (ModelDefinitionError("x"), "error"),
        (ServerFault(ValueError("x")), "error"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_only_what_somebody_must_look_at_is_logged(exc: Exception, level: str | None) -> None:
    response, logs = failed(exc)

    assert [(log["log_level"], log["event"]) for log in logs] == (
        [] if level is None else [(level, error_of(response))]
    )


def test_id_of_the_request_is_in_the_log() -> None:
    _, with_id = failed(ValueError(), request_headers={"x-baseten-request-id": "r1"})
    _, without = failed(ValueError(), request_headers={})

    assert with_id[0]["request_id"] == "r1"
    assert "request_id" not in without[0]


def test_exception_that_cannot_be_shown_is_answered_all_the_same() -> None:
    class Hostile(starlette.exceptions.HTTPException):
        def __init__(self) -> None:
            pass

        def __getattribute__(self, name: str) -> Any:
            raise RuntimeError("nothing here")

    response, logs = failed(Hostile())

    assert (response.status_code, error_of(response)) == (500, GENERIC)
    assert logs[0]["log_level"] == "error"


def test_deep_recursion_of_the_model_is_answered() -> None:
    def fall() -> None:
        fall()

    exc = caught(fall)

    response, logs = failed(exc, model_file=Path(__file__))

    assert response.status_code == 500
    assert "RecursionError" in logs[0]["exception"]
    assert len(logs[0]["exception"]) < sys.getrecursionlimit() * 100


@pytest.mark.parametrize(("status", "is_marked"), [(200, False), (299, False), (300, True), (500, True)])
def test_own_responses_are_marked_from_300_on(status: int, is_marked: bool) -> None:
    response = Response(status_code=status)

    add_error_headers(response)

    assert ("x-baseten-error-source" in response.headers) is is_marked
