from __future__ import annotations

import pytest

from penstock.cli.push.outcome import Seen, Verdict, describe, judge


@pytest.mark.parametrize("phase", ["BUILDING", "DEPLOYING", "LOADING_MODEL", "WAKING_UP", "UNHEALTHY", "", "NEW_ONE"])
def test_what_may_still_come_is_waited_for(phase: str) -> None:
    assert judge(Seen(phase), "") is Verdict.WAITING


@pytest.mark.parametrize("phase", ["BUILD_FAILED", "DEPLOY_FAILED", "FAILED", "INACTIVE", "DEACTIVATING"])
def test_what_will_not_come_has_failed(phase: str) -> None:
    assert judge(Seen(phase, ("production",)), "production") is Verdict.FAILED


@pytest.mark.parametrize("phase", ["ACTIVE", "UPDATING", "SCALED_TO_ZERO"])
def test_what_is_active_serves(phase: str) -> None:
    assert judge(Seen(phase), "") is Verdict.SERVES


def test_the_environment_is_waited_for() -> None:
    assert judge(Seen("ACTIVE", ("qa",)), "production") is Verdict.WAITING
    assert judge(Seen("ACTIVE", ("qa", "production")), "production") is Verdict.SERVES


def test_a_deployment_that_is_gone_has_failed() -> None:
    assert judge(None, "") is Verdict.FAILED


def test_phases_are_told_in_words() -> None:
    assert describe("LOADING_MODEL") == "loading the model"
    assert describe("NEW_ONE") == "new one"
