from __future__ import annotations

import pytest

from penstock_controller.scaling.wording import amount, seconds_left, verb


@pytest.mark.parametrize(("number", "text"), [(0, "0 replicas wait"), (1, "1 replica waits"), (2, "2 replicas wait")])
def test_nouns_and_verbs_follow_the_number(number: int, text: str) -> None:
    assert f"{amount(number, 'replica')} {verb(number, 'waits', 'wait')}" == text


@pytest.mark.parametrize(("until", "text"), [(100.0, "43 s"), (100.2, "44 s"), (57.0, "0 s"), (10.0, "0 s")])
def test_time_left_is_never_shown_too_short(until: float, text: str) -> None:
    assert seconds_left(until, 57.0) == text
