from __future__ import annotations

import pytest

from penstock_controller.chains.spec import (
    CHAINLETS_MAX,
    PROBLEMS_SHOWN,
    WantedChain,
    WantedChainlet,
    problems,
    refuse_problems,
)
from penstock_controller.errors import InvalidRequestError


def chainlet(name: str, *dependencies: str, entry: bool = False, artifact: str = "ab") -> WantedChainlet:
    return WantedChainlet(name, artifact, "", entry, dependencies)


def wrong(*chainlets: WantedChainlet, name: str = "hello") -> list[str]:
    return list(problems(WantedChain(name, chainlets)))


def test_a_chain_whose_calls_lead_away_from_the_entrypoint_is_right() -> None:
    assert (
        wrong(chainlet("Say", "Rand_1", "Low-er", entry=True), chainlet("Rand_1", "Low-er"), chainlet("Low-er")) == []
    )
    assert wrong(chainlet("Say", entry=True), name="a" * 40) == []


@pytest.mark.parametrize("name", ["", "Hello", "a" * 41, "-a", "a.b", "a b", "a\n"])
def test_name_of_a_chain_can_stand_in_a_path(name: str) -> None:
    (problem,) = wrong(chainlet("Say", entry=True), name=name)
    assert problem.startswith("name: must be 1 to 40 of a-z, 0-9")
    assert repr(name) in problem


@pytest.mark.parametrize("name", ["", "a.b", "a b", "é", "a" * 61])
def test_name_of_a_chainlet_has_letters_digits_and_dashes(name: str) -> None:
    assert wrong(chainlet("Say", entry=True), chainlet(name)) == [
        f"chainlet {name!r}: its name must be 1 to 60 of a-z, A-Z, 0-9, '-' and '_'"
    ]


def test_exactly_one_chainlet_is_the_entrypoint() -> None:
    assert wrong(chainlet("A")) == ["chainlets: exactly one must be the entrypoint, got none"]
    assert wrong(chainlet("A", entry=True), chainlet("B", entry=True)) == [
        "chainlets: exactly one must be the entrypoint, got A, B"
    ]


def test_dependencies_are_chainlets_of_the_chain_and_named_once() -> None:
    assert wrong(chainlet("A", "B", "X", "B", entry=True), chainlet("B")) == [
        "chainlet 'A': dependency 'B' is given 2 times",
        "chainlet 'A': dependency 'X' is no chainlet of this chain; there are: A, B",
    ]


def test_calls_that_go_in_a_circle_are_named_in_their_order() -> None:
    assert wrong(chainlet("A", "B", entry=True), chainlet("B", "C"), chainlet("C", "D", "B"), chainlet("D")) == [
        "chainlets: B -> C -> B is a circle; calls must lead away from the entrypoint"
    ]
    (problem,) = wrong(chainlet("A", "A", entry=True))
    assert problem.startswith("chainlets: A -> A is a circle")


def test_a_name_is_given_once() -> None:
    (problem,) = wrong(chainlet("A", entry=True), chainlet("B"), chainlet("B"))
    assert problem == "chainlet 'B': 2 chainlets have this name; give each its own"


def test_a_chainlet_has_an_artifact_or_a_source() -> None:
    both = WantedChainlet("A", "ab", "/a", is_entrypoint=True)
    assert wrong(both, WantedChainlet("B")) == [
        "chainlet 'A': exactly one of artifact and source must be given",
        "chainlet 'B': exactly one of artifact and source must be given",
    ]


def test_there_are_not_too_many_chainlets() -> None:
    assert wrong() == [f"chainlets: 1 to {CHAINLETS_MAX} must be given, got 0"]
    many = [chainlet("A", entry=True), *(chainlet(f"B{number}") for number in range(CHAINLETS_MAX))]
    assert wrong(*many) == [f"chainlets: 1 to {CHAINLETS_MAX} must be given, got {CHAINLETS_MAX + 1}"]
    assert wrong(*many[:-1]) == []


def test_deep_chains_need_no_deep_stack() -> None:
    line = [chainlet(f"B{n}", f"B{n + 1}", entry=n == 0) for n in range(CHAINLETS_MAX - 1)]
    assert wrong(*line, chainlet(f"B{CHAINLETS_MAX - 1}")) == []


def test_a_refusal_names_every_problem_and_has_an_end() -> None:
    refuse_problems("hello", [])
    with pytest.raises(InvalidRequestError) as caught:
        refuse_problems("hello", ["one", "two"])
    assert str(caught.value) == "chain 'hello' cannot be created:\n  one\n  two"
    with pytest.raises(InvalidRequestError, match=r"\n  and 3 more$"):
        refuse_problems("hello", ["x"] * (PROBLEMS_SHOWN + 3))
