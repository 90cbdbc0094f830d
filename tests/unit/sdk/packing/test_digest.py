from __future__ import annotations

from penstock.packing.digest import ContentDigest, Kind, sort_key


def digest(*entries: tuple[Kind, str, bytes]) -> str:
    made = ContentDigest()
    for entry in entries:
        made.entry(*entry)
    return made.hexdigest()


def test_kind_path_and_content_count() -> None:
    one = digest((Kind.FILE, "a", b"x"))
    assert one == digest((Kind.FILE, "a", b"x"))
    others = {digest((Kind.EXECUTABLE, "a", b"x")), digest((Kind.FILE, "b", b"x")), digest((Kind.FILE, "a", b"y"))}
    assert len(others | {one}) == 4


def test_content_cannot_pass_for_another_entry() -> None:
    assert digest((Kind.FILE, "a", b"b")) != digest((Kind.FILE, "ab", b""))
    assert digest((Kind.FILE, "a", b""), (Kind.FILE, "b", b"")) != digest((Kind.FILE, "a", b"F\0\0\0\1b" + bytes(8)))


def test_the_hash_of_known_content_never_changes() -> None:
    """Artifacts are stored under it."""
    known = "2ac0bf74904950cdfb13f13cb2d87047f614c26de2333a674a09da2fb7fd65a2"
    assert digest((Kind.FILE, "config.yaml", b"model_name: echo\n"), (Kind.LINK, "data", b"other")) == known


def test_content_may_come_in_pieces() -> None:
    pieces = ContentDigest()
    pieces.begin(Kind.FILE, "a", 3)
    pieces.add(b"x")
    pieces.add(b"yz")
    assert pieces.hexdigest() == digest((Kind.FILE, "a", b"xyz"))


def test_paths_are_sorted_by_their_bytes() -> None:
    assert sorted(["ä", "b", "Z", "a/b", "a.b"], key=sort_key) == ["Z", "a.b", "a/b", "b", "ä"]
