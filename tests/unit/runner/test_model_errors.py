"""Errors of models."""

from __future__ import annotations

from penstock_runner.model.errors import ModelLoadError, SecretNotFound


def test_report_is_message_and_traceback() -> None:
    assert ModelLoadError("it failed", "Traceback …\nValueError").report() == "it failed\nTraceback …\nValueError"


def test_report_without_user_code_is_the_message() -> None:
    assert ModelLoadError("it failed").report() == "it failed"


def test_text_of_a_missing_secret_is_not_quoted() -> None:
    assert str(SecretNotFound("no 'x'")) == "no 'x'"
