from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.weights.manifest import CachedFile, Manifest, Occupant, choose_evictions, content_key, read_manifest

MANIFEST = Manifest("hf://o/n@main", "k", "c0ffee", True, (CachedFile("a/b", 3, "d"), CachedFile("c", 4, "e")), 12.5)


def occupant(key: str, size: int, used_at: float, *, is_partial: bool = False, is_needed: bool = False) -> Occupant:
    return Occupant(key, key, size, used_at, is_partial, is_needed)


def test_a_manifest_is_read_as_it_was_written() -> None:
    assert read_manifest(MANIFEST.to_json()) == MANIFEST
    assert MANIFEST.size == 7


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 2}', '{"version": 1}', "null"])
def test_anything_else_is_no_manifest(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_manifest(text)


def test_the_least_recently_used_goes_first_and_unfinished_downloads_before_all() -> None:
    old, new = occupant("old", 10, 1.0), occupant("new", 10, 2.0)
    partial = occupant("partial", 10, 3.0, is_partial=True)

    assert choose_evictions([new, partial, old], excess=0) == []
    assert choose_evictions([new, partial, old], excess=1) == [partial]
    assert choose_evictions([new, partial, old], excess=11) == [partial, old]
    assert choose_evictions([new, partial, old], excess=30) == [partial, old, new]


def test_what_is_needed_stays_even_if_there_is_no_room_then() -> None:
    needed, other = occupant("needed", 100, 1.0, is_needed=True), occupant("other", 10, 2.0)

    assert choose_evictions([needed, other], excess=10) == [other]
    assert choose_evictions([needed, other], excess=11) is None


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 9), st.booleans(), st.booleans()), max_size=8),
    st.integers(-10, 200),
)
def test_evictions_suffice_are_never_needed_and_no_more_than_must_be(
    rows: list[tuple[int, int, bool, bool]], excess: int
) -> None:
    occupants = [Occupant(f"{n}", "", size, at, part, needed) for n, (size, at, part, needed) in enumerate(rows)]

    chosen = choose_evictions(occupants, excess=excess)

    possible = sum(one.size for one in occupants if not one.is_needed)
    if chosen is None:
        assert possible < excess
        return
    assert not any(one.is_needed for one in chosen)
    assert sum(one.size for one in chosen) >= excess
    assert not chosen or sum(one.size for one in chosen[:-1]) < excess


def test_a_key_stands_for_its_parts() -> None:
    assert content_key("a", "bc") == content_key("a", "bc")
    assert content_key("a", "bc") != content_key("ab", "c")
    assert content_key(1) == content_key("1")
