from __future__ import annotations

from penstock_controller.artifact_quota import StoredArtifact, to_remove

STORED = {name: StoredArtifact(10, used_wall) for name, used_wall in (("c", 3.0), ("a", 1.0), ("b", 2.0))}


def test_nothing_goes_while_there_is_room() -> None:
    assert to_remove(STORED, (), needed_bytes=70, bytes_max=100) == []


def test_the_one_that_was_not_used_for_longest_goes_first() -> None:
    assert to_remove(STORED, (), needed_bytes=85, bytes_max=100) == ["a", "b"]


def test_those_of_deployments_stay() -> None:
    assert to_remove(STORED, ("a",), needed_bytes=85, bytes_max=100) == ["b", "c"]
    assert to_remove(STORED, ("a", "b"), needed_bytes=85, bytes_max=100) is None


def test_only_a_few_unused_ones_are_kept() -> None:
    assert to_remove(STORED, ("c",), unused_kept=1) == ["a"]
    assert to_remove(STORED, (), unused_kept=0) == ["a", "b", "c"]
