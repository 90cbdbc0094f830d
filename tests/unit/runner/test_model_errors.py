"""Errors of models."""

from __future__ import annotations

from penstock_runner.model.errors import HotReloadError, ModelLoadError, SecretNotFound


def test_report_is_message_and_traceback() -> None:
    assert ModelLoadError("it failed", "Traceback …\nValueError").report() == "it failed\nTraceback …\nValueError"


def test_report_without_user_code_is_the_message() -> None:
    assert ModelLoadError("it failed").report() == "it failed"


def test_text_of_a_missing_secret_is_not_quoted() -> None:
    assert str(SecretNotFound("no 'x'")) == "no 'x'"


def test_report_of_a_refused_reload_is_message_and_traceback() -> None:
    error = HotReloadError("SyntaxError: invalid syntax (model/model.py, line 3)", "Traceback …")

    assert error.report() == "SyntaxError: invalid syntax (model/model.py, line 3)\nTraceback …"
    assert str(error) == error.message
    assert not error.needs_restart
    assert HotReloadError("A restart is needed", needs_restart=True).report() == "A restart is needed"
