from __future__ import annotations

import json

import pytest

from penstock_controller.actuators.builds import BuildEnd
from penstock_controller.build_result import judge_build


def judge(status: int | None, result: object, output: str = "") -> BuildEnd:
    content = result if isinstance(result, str) or result is None else json.dumps(result)
    return judge_build("d", status=status, result=content, output_tail=output)


def test_a_result_names_the_interpreter_and_what_is_doubtful() -> None:
    ended = judge(0, {"python": "/env/bin/python", "problems": ["no ffmpeg"]})
    assert ended == BuildEnd("d", python="/env/bin/python", problems=("no ffmpeg",))
    assert judge(0, {"python": "", "problems": []}) == BuildEnd("d")


def test_a_reason_of_its_own_is_the_error() -> None:
    assert judge(1, {"error": "no such package"}, "long output").error == "no such package"


def test_a_build_that_ended_while_nobody_watched_counts_by_its_result() -> None:
    assert judge(None, {"python": "/p", "problems": []}).python == "/p"
    assert judge(None, {"error": "why"}).error == "why"
    assert judge(None, None).was_cut, "it left nothing, so it begins anew"


@pytest.mark.parametrize("result", [None, "", "{", "[]", {"python": None}, {"error": ""}])
def test_without_a_result_its_exit_and_its_last_words_are_told(result: object) -> None:
    ended = judge(-9, result, "last words\n")
    assert "SIGKILL" in ended.error
    assert "last words" in ended.error
    assert not ended.was_cut


def test_a_result_beside_a_failure_does_not_count() -> None:
    assert "status 3" in judge(3, {"python": "/p", "problems": []}).error
