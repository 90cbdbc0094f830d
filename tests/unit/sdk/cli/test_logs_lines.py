from __future__ import annotations

import json

from penstock.cli.logs.lines import Labels, readable


def test_a_record_becomes_a_line() -> None:
    record = {
        "timestamp": "2026-01-01T00:00:00Z",
        "level": "warning",
        "event": "slow",
        "component": "runner",
        "seconds": 1.5,
        "who": "a b",
    }
    assert readable(json.dumps(record)) == '2026-01-01T00:00:00Z WARNING slow seconds=1.5 who="a b"'


def test_a_traceback_stands_below() -> None:
    text = readable(json.dumps({"event": "x", "traceback": "Traceback\n  ValueError\n"}))
    assert text == "INFO x\nTraceback\n  ValueError"


def test_everything_else_stays() -> None:
    for line in ("plain", '{"a": 1}', "{broken", "[1]", ""):
        assert readable(line) == line


def test_one_origin_needs_no_label() -> None:
    labels = Labels()
    assert labels.put("m-0123abcd-x5d2a", "hello") == "hello"
    assert labels.put("m-0123abcd-x5d2a", "again") == "again"


def test_from_the_second_origin_on_every_line_has_one() -> None:
    labels = Labels()
    labels.put("m-0123abcd-x5d2a", "hello")
    assert labels.put("build", "a\nb") == "build | a\nbuild | b"
    assert labels.put("m-0123abcd-x5d2a", "again") == "x5d2a | again"


def test_labels_can_be_there_from_the_beginning() -> None:
    assert Labels(are_several=True).put("m-1-abcde", "x") == "abcde | x"
