"""Helpers that chains import."""

from __future__ import annotations

import pytest

from penstock.chains.utils import InjectedError, random_fail


def test_failures_come_with_the_probability_that_was_asked_for() -> None:
    random_fail(0.0, "never")
    with pytest.raises(InjectedError, match="Random failure: always"):
        random_fail(1.0, "always")
