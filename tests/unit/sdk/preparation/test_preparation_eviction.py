from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from penstock.preparation.eviction import FRESH_S, Eviction, Kept, choose_evictions

NOW = 1_000_000.0


def kept(key: str, age_h: float, size: int = 10, base: str = "") -> Kept:
    return Kept(key, size, NOW - age_h * 3600, base)


def choose(*entries: Kept, in_use: str = "", entries_max: int = 100, bytes_max: int = 1000) -> Eviction:
    return choose_evictions(entries, in_use=in_use.split(), now=NOW, entries_max=entries_max, bytes_max=bytes_max)


def test_nothing_goes_within_the_bounds() -> None:
    assert choose(kept("a", 100), kept("b", 1), entries_max=2, bytes_max=20) == Eviction((), True)


def test_the_longest_unused_go_first_by_number_and_by_size() -> None:
    entries = [kept("a", 1), kept("b", 3), kept("c", 2)]

    assert choose(*entries, entries_max=2) == Eviction(("b",), True)
    assert choose(*entries, entries_max=1) == Eviction(("b", "c"), True)
    assert choose(*entries, bytes_max=25) == Eviction(("b",), True)


def test_what_is_in_use_or_was_just_used_stays_even_over_the_bounds() -> None:
    entries = [kept("a", 9), kept("b", 8), Kept("c", 10, NOW - FRESH_S + 1)]

    assert choose(*entries, in_use="a", entries_max=1) == Eviction(("b",), False)


def test_what_stands_behind_another_goes_after_it() -> None:
    front, base = kept("front", 1, base="base"), kept("base", 9)

    assert choose(front, base, entries_max=1) == Eviction(("front",), True)
    assert choose(front, base, entries_max=0) == Eviction(("front", "base"), True)
    assert choose(front, base, in_use="front", entries_max=1) == Eviction((), False)


@given(
    ages=st.lists(st.tuples(st.floats(0, 1e4), st.integers(0, 50), st.booleans()), max_size=12),
    entries_max=st.integers(1, 8),
    bytes_max=st.integers(0, 300),
)
def test_no_more_goes_than_has_to(ages: list[tuple[float, int, bool]], entries_max: int, bytes_max: int) -> None:
    entries = [kept(str(number), age, size) for number, (age, size, _) in enumerate(ages)]
    used = {str(number) for number, (_, _, is_used) in enumerate(ages) if is_used}

    chosen = choose_evictions(entries, in_use=used, now=NOW, entries_max=entries_max, bytes_max=bytes_max)

    def fits(gone: tuple[str, ...]) -> bool:
        left = [entry for entry in entries if entry.key not in gone]
        return len(left) <= entries_max and sum(entry.bytes for entry in left) <= bytes_max

    assert not used & set(chosen.keys)
    assert chosen.is_enough == fits(chosen.keys)
    assert not chosen.keys or not fits(chosen.keys[:-1])
