from __future__ import annotations

import pytest

from penstock_controller.errors import AmbiguousNameError, NotFoundError
from penstock_controller.naming import find_deployment, find_replicas
from penstock_testing.controller_parts import deployment

OLD = deployment("echo-aaaa1111", environments=())
NEW = deployment("echo-aabb2222")
VOICE = deployment("voice-cccc3333", environments=("staging",))
ALL = (OLD, NEW, VOICE)
REPLICAS = {
    "echo-aaaa1111-x7k2q": OLD.deployment_id,
    "echo-aabb2222-b3c4d": NEW.deployment_id,
    "echo-aabb2222-e5f6g": NEW.deployment_id,
}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("echo-aaaa1111", OLD),
        ("echo", NEW),
        ("voice", VOICE),
        ("echo-aab", NEW),
        ("v", VOICE),
    ],
)
def test_deployment_is_found_by_id_name_or_beginning(text: str, found: object) -> None:
    assert find_deployment(text, ALL) is found


def test_chainlet_is_found_without_its_chain() -> None:
    inner = deployment("hello.RandInt-0a1b2c3d")
    twin = deployment("other.RandInt-0a1b2c3d")

    assert find_deployment("RandInt-0a1b2c3d", (*ALL, inner)) is inner
    with pytest.raises(AmbiguousNameError):
        find_deployment("RandInt-0a1b2c3d", (inner, twin))
    with pytest.raises(NotFoundError):
        find_deployment("RandInt", (inner,))


def test_name_without_production_means_the_only_deployment_that_is_not_being_removed() -> None:
    gone = deployment("echo-dddd4444", environments=(), retired=True)
    assert find_deployment("echo", (gone, OLD)) is OLD


def test_ambiguous_beginning_names_the_candidates() -> None:
    with pytest.raises(AmbiguousNameError, match="'echo-aa' may mean echo-aaaa1111, echo-aabb2222"):
        find_deployment("echo-aa", ALL)


def test_unknown_name_says_what_there_is() -> None:
    with pytest.raises(NotFoundError, match="no deployment 'foo'; there are: echo, voice"):
        find_deployment("foo", ALL)
    with pytest.raises(NotFoundError, match="there is no deployment at all"):
        find_deployment("foo", ())
    with pytest.raises(NotFoundError):
        find_deployment("", ALL)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("echo-aaaa1111-x7k2q", ["echo-aaaa1111-x7k2q"]),
        ("x7k2q", ["echo-aaaa1111-x7k2q"]),
        ("echo-aabb2222-e", ["echo-aabb2222-e5f6g"]),
        ("echo", ["echo-aabb2222-b3c4d", "echo-aabb2222-e5f6g"]),
        ("voice", []),
    ],
)
def test_replica_is_found_by_id_beginning_end_or_deployment(text: str, found: list[str]) -> None:
    assert find_replicas(text, REPLICAS, ALL) == found


def test_unknown_replica_says_what_there_is() -> None:
    with pytest.raises(NotFoundError, match="no replica 'zzz'; there are: echo-aaaa1111-x7k2q, "):
        find_replicas("zzz", REPLICAS, ALL)


def test_long_lists_are_cut() -> None:
    many = {f"r{i:03}": "d" for i in range(50)}
    with pytest.raises(NotFoundError, match=r"r009 and 40 more$"):
        find_replicas("zzz", many, ())
