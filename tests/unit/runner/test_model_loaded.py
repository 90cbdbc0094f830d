"""Tracebacks as the model's author wants them: their frames, none of ours."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

from penstock_runner.model.lazy_data import LazyDataResolver
from penstock_runner.model.loaded import TRACEBACK_LENGTH_MAX, format_user_stack, format_user_traceback
from penstock_runner.model.secrets import Secrets


def run_as_file(path: Path, source: str, name: str) -> Callable[..., Any]:
    """Returns function `name` of `source`, whose frames say that they are of `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)
    scope: dict[str, Any] = {}
    exec(compile(source, str(path), "exec"), scope)
    function = scope[name]
    assert isinstance(function, FunctionType)
    return function


def caught(call: Callable[[], Any]) -> BaseException:
    try:
        call()
    except BaseException as exc:
        return exc
    raise AssertionError("nothing was raised")


def test_traceback_starts_with_the_first_frame_of_the_model(tmp_path: Path) -> None:
    model_file = tmp_path / "model" / "model.py"
    fail = run_as_file(model_file, "def fail():\n    raise ValueError('bad weights')\n", "fail")

    text = format_user_traceback(caught(lambda: fail()), model_file)

    assert text.splitlines() == [
        "Traceback (most recent call last):",
        f'  File "{model_file}", line 2, in fail',
        "    raise ValueError('bad weights')",
        "ValueError: bad weights",
    ]


def test_frames_of_libraries_below_the_model_stay(tmp_path: Path) -> None:
    model_file = tmp_path / "model.py"
    parse = run_as_file(model_file, "import json\ndef parse():\n    json.loads('{')\n", "parse")

    text = format_user_traceback(caught(parse), model_file)

    assert f'File "{model_file}", line 3, in parse' in text
    assert json.decoder.__file__ in text


def test_frames_of_ours_are_left_out_even_between_those_of_the_model(tmp_path: Path) -> None:
    model_file = tmp_path / "model.py"
    ask = run_as_file(model_file, "def ask(secrets):\n    return secrets['x']\n", "ask")

    text = format_user_traceback(caught(lambda: ask(Secrets({}, environment={}))), model_file)

    assert "penstock_runner" not in text.replace("penstock_runner.model.errors.SecretNotFound", "")
    assert "Secret 'x' is not declared" in text


def test_causes_are_trimmed_as_well(tmp_path: Path) -> None:
    model_file = tmp_path / "model.py"
    source = (
        "def fail(call):\n    try:\n        call()\n    except Exception as e:\n"
        "        raise RuntimeError('outer') from e\n"
    )
    fail = run_as_file(model_file, source, "fail")

    def inner() -> None:
        Secrets({}, environment={})["x"]

    text = format_user_traceback(caught(lambda: fail(inner)), model_file)

    assert "The above exception was the direct cause" in text
    assert "penstock_runner/model/secrets.py" not in text


def test_syntax_error_shows_the_line_and_no_frames_of_ours(tmp_path: Path) -> None:
    model_file = tmp_path / "model.py"
    model_file.write_text("x = = 1\n")

    error = caught(lambda: compile(model_file.read_text(), str(model_file), "exec"))
    error = error.with_traceback(None)

    text = format_user_traceback(error, model_file)
    assert f'File "{model_file}", line 1' in text
    assert "x = = 1" in text
    assert text.endswith("SyntaxError: invalid syntax")


def test_long_traceback_is_cut_in_the_middle(tmp_path: Path) -> None:
    error = ValueError("start" + "x" * 100_000 + "end")

    text = format_user_traceback(error, tmp_path / "model.py")

    assert len(text) < TRACEBACK_LENGTH_MAX + 100
    assert "characters left out" in text
    assert "start" in text
    assert text.endswith("end")


def test_exception_that_cannot_be_shown_is_shown_all_the_same(tmp_path: Path) -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    assert "Broken" in format_user_traceback(Broken(), tmp_path / "model.py")


def test_group_of_exceptions_is_trimmed(tmp_path: Path) -> None:
    def ours() -> None:
        Secrets({}, environment={})["x"]

    group = BaseExceptionGroup("several", [caught(ours)])

    text = format_user_traceback(group, tmp_path / "model.py")

    assert "several (1 sub-exception)" in text
    assert "penstock_runner/model/secrets.py" not in text


def test_stack_of_a_thread_is_trimmed_like_a_traceback(tmp_path: Path) -> None:
    model_file = tmp_path / "model.py"
    source = "import traceback\ndef where():\n    return traceback.extract_stack()\n"
    where = run_as_file(model_file, source, "where")

    text = format_user_stack(where(), model_file)

    assert text.splitlines()[0] == f'  File "{model_file}", line 3, in where'


@pytest.mark.parametrize("arguments", [(), ("x",)])
def test_lazy_data_resolver_never_waits(arguments: tuple[str, ...]) -> None:
    LazyDataResolver().block_until_download_complete(*arguments)


def test_format_survives_a_traceback_without_frames(tmp_path: Path) -> None:
    text = format_user_traceback(ValueError("x"), tmp_path / "model.py")

    assert text.endswith("ValueError: x")
    assert traceback.format_exception_only(ValueError("x"))[0].strip() in text
