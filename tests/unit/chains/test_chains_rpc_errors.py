"""What a caller learns of an error in another chainlet. The texts are those of Truss Chains 0.18.35."""

from __future__ import annotations

import json
import sys
from types import ModuleType
from typing import Any

import fastapi
import pytest
from starlette.exceptions import HTTPException

from penstock.chains.remote import trace
from penstock.chains.remote.rpc_errors import (
    MESSAGE_LENGTH_MAX,
    GenericRemoteException,
    RemoteErrorDetail,
    error_detail,
    error_response,
    raise_remote,
)
from penstock.close_codes import EndCode
from penstock.errors import CapacityError, UpstreamError, error_for

BASE = "Error calling dependency Chainlet `Bottom`, HTTP status=500, trace ID=`TRACE_ID`."


def frame(filename: str, lineno: int, name: str, line: str | None) -> dict[str, Any]:
    return {"filename": filename, "lineno": lineno, "name": name, "line": line}


def described(name: str, module: str | None, message: str, *frames: dict[str, Any]) -> dict[str, Any]:
    return {
        "error": {
            "exception_cls_name": name,
            "exception_module_name": module,
            "exception_message": message,
            "user_stack_trace": list(frames),
        }
    }


def raised(document: Any, *, status: int = 500, chainlet: str = "Bottom") -> Exception:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    with trace.bound({"traceparent": "TRACE_ID"}):
        try:
            raise_remote(status, body, {}, chainlet)
        except Exception as exc:
            return exc


def test_an_error_is_shown_as_a_tree() -> None:
    error = raised(
        described(
            "ValueError", "builtins", "bad\nthing", frame("/a/b.py", 3, "f", "x = g()"), frame("/c.py", 5, "g", None)
        )
    )

    assert type(error) is ValueError
    assert str(error) == (
        "(showing chained remote errors, root error at the bottom)\n"
        "├─ Error calling dependency Chainlet `Bottom`, HTTP status=500, trace ID=`TRACE_ID`.\n"
        "│   Chainlet-Traceback (most recent call last):\n"
        '│     File "/a/b.py", line 3, in f\n'
        "│       x = g()\n"
        '│     File "/c.py", line 5, in g\n'
        "│   ValueError: bad\n"
        "│   thing\n"
        "╰   (Exception class defined in `builtins`.)"
    )
    assert error.__cause__ is None and error.__suppress_context__


def test_each_hop_is_a_branch_of_the_tree() -> None:
    bottom = raised(described("ValueError", None, "no such word", frame("/c/bottom.py", 3, "run_remote", "raise it")))
    middle = raised(
        described("ValueError", None, str(bottom), frame("/c/middle.py", 9, "run_remote", "await it")),
        chainlet="Middle",
    )

    assert str(middle) == (
        "(showing chained remote errors, root error at the bottom)\n"
        "├─ Error calling dependency Chainlet `Middle`, HTTP status=500, trace ID=`TRACE_ID`.\n"
        "│   Chainlet-Traceback (most recent call last):\n"
        '│     File "/c/middle.py", line 9, in run_remote\n'
        "│       await it\n"
        "│   ValueError: (showing chained remote errors, root error at the bottom)\n"
        "│   ├─ Error calling dependency Chainlet `Bottom`, HTTP status=500, trace ID=`TRACE_ID`.\n"
        "│   │   Chainlet-Traceback (most recent call last):\n"
        '│   │     File "/c/bottom.py", line 3, in run_remote\n'
        "│   │       raise it\n"
        "╰   ╰   ValueError: no such word"
    )


def test_an_error_without_a_request_has_no_trace_id() -> None:
    with pytest.raises(GenericRemoteException) as caught:
        raise_remote(503, b'{"error": "text"}', {}, "X")

    assert str(caught.value) == "Error calling dependency Chainlet `X`, HTTP status=503, trace ID=`None`.: 'text'"


@pytest.mark.parametrize(
    ("document", "kind", "text"),
    [
        ({"error": "plain"}, GenericRemoteException, f"{BASE}: 'plain'"),
        ({"x": 1}, ValueError, f"{BASE}. Could not get `error` field from JSON response."),
        ([1], ValueError, f"{BASE}. Could not get `error` field from JSON response."),
        (
            {"error": {"a": 1}},
            ValueError,
            f"{BASE}: Could not parse chainlet error. Error details are expected to be either a plain string "
            "(old truss models) or a serialized `RemoteErrorDetail`, got:\n{'a': 1}",
        ),
        (b"<html>", ValueError, BASE),
        (b"\xff\xfe", ValueError, BASE),
        (b"[" * 100_000, ValueError, BASE),
    ],
    ids=["text", "no-error", "list", "other-error", "html", "binary", "deep"],
)
def test_what_other_servers_send_is_said_as_it_is(document: Any, kind: type[Exception], text: str) -> None:
    error = raised(document)

    assert type(error) is kind
    assert str(error) == text


class OfTwo(Exception):
    def __init__(self, one: str, two: str) -> None:
        super().__init__(one, two)


class Sly(Exception):
    def __new__(cls, *args: Any) -> Any:
        return args


@pytest.mark.parametrize(
    ("name", "module", "kind"),
    [
        ("KeyError", None, KeyError),
        ("TimeoutError", None, TimeoutError),
        ("JSONDecodeError", "json", GenericRemoteException),
        ("UnicodeDecodeError", "builtins", GenericRemoteException),
        ("ValidationError", "pydantic_core._pydantic_core", GenericRemoteException),
        ("OfTwo", __name__, GenericRemoteException),
        ("Sly", __name__, GenericRemoteException),
        ("Missing", __name__, GenericRemoteException),
        ("Error", "nowhere.at.all", GenericRemoteException),
        ("SystemExit", None, GenericRemoteException),
        ("CancelledError", "asyncio.exceptions", GenericRemoteException),
        ("StopAsyncIteration", None, GenericRemoteException),
        ("int", None, GenericRemoteException),
        ("print", None, GenericRemoteException),
        ("run", "os", GenericRemoteException),
    ],
)
def test_only_loaded_exceptions_that_take_a_text_are_raised_again(
    name: str, module: str | None, kind: type[Exception]
) -> None:
    assert "nowhere" not in sys.modules
    error = raised(described(name, module, "bad"))

    assert type(error) is kind
    assert f"{name}: bad" in str(error)


def test_a_users_own_class_is_raised_again(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("users_chain")
    kind = type("NoSuchWord", (LookupError,), {"__module__": "users_chain"})
    monkeypatch.setattr(module, "NoSuchWord", kind, raising=False)
    monkeypatch.setitem(sys.modules, "users_chain", module)

    assert type(raised(described("NoSuchWord", "users_chain", "x"))) is kind


def test_a_module_that_makes_its_names_up_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("lazy_module")
    asked: list[str] = []
    monkeypatch.setattr(module, "__getattr__", asked.append, raising=False)
    monkeypatch.setitem(sys.modules, "lazy_module", module)

    assert type(raised(described("Anything", "lazy_module", "x"))) is GenericRemoteException
    assert asked == []


@pytest.mark.parametrize("kind", [fastapi.HTTPException, HTTPException], ids=["fastapi", "starlette"])
def test_an_http_exception_keeps_its_status_over_two_hops(kind: type[HTTPException]) -> None:
    status, body = error_response(kind(422, "no"))
    first = raised(body, status=status)
    status, body = error_response(first)
    second = raised(body, status=status, chainlet="Middle")

    assert status == 422
    assert type(first) is type(second) is kind
    assert second.status_code == 422
    assert "HTTP status=422" in second.detail and "HTTPException: 422: no" in second.detail


@pytest.mark.parametrize("status", [200, 301, 99, 1000, "500"])
def test_an_http_exception_that_is_no_error_becomes_500(status: Any) -> None:
    error = HTTPException(404, "x")
    error.status_code = status

    assert error_response(error)[0] == 500


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        (EndCode.REPLICA_FULL, 503, CapacityError),
        (EndCode.QUEUE_FULL, 503, CapacityError),
        (EndCode.RATE_LIMITED, 503, CapacityError),
        (EndCode.REPLICA_LOST, 503, UpstreamError),
        (EndCode.MODEL_ERROR, 502, UpstreamError),
        (EndCode.QUEUE_TIMEOUT, 504, CapacityError),
        (EndCode.REQUEST_TIMEOUT, 504, UpstreamError),
    ],
)
def test_a_failure_of_the_platform_is_a_gateway_error_and_keeps_its_class(
    code: EndCode, status: int, kind: type[Exception]
) -> None:
    found, body = error_response(error_for(code, reason="why"))
    again = raised(body, status=found)

    assert found == status
    assert type(again) is kind
    assert again.code is code  # type: ignore[attr-defined]  # mypy does not see the line above
    assert "why" in str(again) and str(again).startswith(f"{code} (")
    assert error_response(again)[0] == status


def test_detail_of_an_exception_of_python_names_no_module() -> None:
    detail = error_detail(KeyError("k"))

    assert (detail.exception_cls_name, detail.exception_module_name) == ("KeyError", None)
    assert detail.exception_message == "'k'"


def test_detail_of_an_exception_whose_text_fails() -> None:
    class Odd(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert error_detail(Odd()).exception_message == "(its text cannot be shown: RuntimeError)"


def test_detail_of_a_group_names_what_is_in_it() -> None:
    group = ExceptionGroup("two failed", [ValueError("a\nb"), ExceptionGroup("inner", [KeyError("c")])])

    assert error_detail(group).exception_message == (
        "two failed (2 sub-exceptions)\n  ValueError: a\n  b\n"
        "  ExceptionGroup: inner (1 sub-exception)\n    KeyError: 'c'"
    )


def test_a_long_text_loses_its_middle() -> None:
    text = error_detail(ValueError("a" * MESSAGE_LENGTH_MAX + "z")).exception_message

    assert len(text) < MESSAGE_LENGTH_MAX + 100
    assert text.startswith("aaa") and text.endswith("az")
    assert "… 1 characters left out …" in text


def test_detail_is_formatted_as_python_does() -> None:
    detail = RemoteErrorDetail.model_validate(
        described("ValueError", "m", "a\nb", frame("/a/b.py", 3, "f", "x = g()"), frame("/a/c.py", 5, "g", None))[
            "error"
        ]
    )

    assert detail.format() == (
        'Chainlet-Traceback (most recent call last):\n  File "/a/b.py", line 3, in f\n    x = g()\n'
        '  File "/a/c.py", line 5, in g\nValueError: a\nb\n(Exception class defined in `m`.)'
    )
    assert RemoteErrorDetail(
        exception_cls_name="ValueError", exception_module_name=None, exception_message="a", user_stack_trace=[]
    ).format() == ("Chainlet-Traceback (most recent call last):\nValueError: a")


def test_errors_survive_json() -> None:
    status, body = error_response(ValueError("ü"))

    assert status == 500
    assert json.loads(json.dumps(body))["error"]["exception_message"] == "ü"
    assert type(raised(body)) is ValueError


class TeapotError(HTTPException):
    def __init__(self, pot: str, cups: int) -> None:
        super().__init__(418, f"{pot} {cups}")


def crossed(exc: BaseException, chainlet: str = "A") -> Exception:
    """Returns what the caller of `chainlet` sees when that has raised `exc`."""
    status, body = error_response(exc)
    with pytest.raises(Exception) as raised:  # noqa: PT011  # which one is what the tests ask
        raise_remote(status, json.dumps(body, ensure_ascii=False).encode(), {}, chainlet)
    return raised.value


def test_the_tree_of_a_key_error_keeps_its_lines_over_hops() -> None:
    once = crossed(KeyError("missing"), "Bottom")
    twice = crossed(once, "Middle")

    assert isinstance(twice, KeyError)
    assert "\\n" not in twice.args[0]
    assert [line for line in twice.args[0].split("\n") if "├─" in line] == [
        "├─ Error calling dependency Chainlet `Middle`, HTTP status=500, trace ID=`None`.",
        "│   ├─ Error calling dependency Chainlet `Bottom`, HTTP status=500, trace ID=`None`.",
    ]
    assert twice.args[0].endswith("KeyError: 'missing'")


def test_an_http_exception_of_a_class_that_takes_no_text_keeps_its_status() -> None:
    error = crossed(TeapotError("pot", 2))

    assert isinstance(error, HTTPException)
    assert error.status_code == 418
    assert "pot 2" in error.detail


def test_half_a_surrogate_pair_travels_as_an_escape() -> None:
    assert "a\\ud800b" in str(crossed(ValueError("a\ud800b")))


def test_a_class_without_a_module_is_described_all_the_same() -> None:
    odd = type("Odd", (Exception,), {"__module__": 5})

    assert error_detail(odd("x")).exception_module_name is None


@pytest.mark.parametrize("fault", [SystemExit, KeyboardInterrupt, ValueError])
def test_an_exception_whose_text_cannot_be_made_is_told_of(fault: type[BaseException]) -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise fault

    assert error_detail(MuteError()).exception_message == f"(its text cannot be shown: {fault.__name__})"
