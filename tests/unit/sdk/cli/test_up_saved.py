from __future__ import annotations

import time

from penstock.cli.up.saved import RECENT_S, Save, first_line, indented
from penstock.cli.up.watched_tree import Scan, Stamp


def stamp(age_s: float) -> Stamp:
    return Stamp(time.time_ns() - int(age_s * 1e9), 1, 1)


def test_the_age_is_that_of_the_file_that_was_saved_first() -> None:
    save = Save(frozenset({"a", "b", "gone"}), Scan({"a": stamp(1.0), "b": stamp(3.0)}))
    assert 3.0 <= save.age_s < 4.0
    assert save.names == "a, b and 1 more"


def test_a_file_that_was_moved_here_was_not_saved_long_ago() -> None:
    assert Save(frozenset({"a"}), Scan({"a": stamp(RECENT_S + 1)})).age_s < 1.0


def test_texts_are_shown_below_others() -> None:
    assert indented("a\nb") == "  a\n  b"
    assert first_line("one.\ntwo") == "one"
