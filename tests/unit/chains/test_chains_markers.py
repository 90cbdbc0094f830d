"""Marks of what is injected: where they work, and what they say elsewhere."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pydantic
import pytest

from penstock import chains
from penstock.chains.errors import ChainsRuntimeError
from penstock.chains.markers import ContextMarker, DependencyMarker
from penstock_testing.chain_kit import Define

SOURCE = "class A(chains.ChainletBase):\n    async def run_remote(self) -> int: ..."


def test_a_dependency_keeps_its_chainlet_and_options(define: Define) -> None:
    chainlet = define(SOURCE).A

    marker: object = chains.depends(chainlet, 3, 2, True, 7)
    plain: object = chains.depends(chainlet)

    assert isinstance(marker, DependencyMarker) and isinstance(plain, DependencyMarker)
    assert marker.chainlet is chainlet
    assert marker.options == chains.RPCOptions(retries=3, timeout_sec=2.0, use_binary=True, concurrency_limit=7)
    assert plain.options == chains.RPCOptions()
    assert repr(marker) == "depends(A)"


def test_options_of_a_dependency_are_checked(define: Define) -> None:
    with pytest.raises(pydantic.ValidationError, match="retries"):
        chains.depends(define(SOURCE).A, retries="3")  # type: ignore[call-overload]  # the test


def test_a_dependency_that_was_not_injected_says_how_to_declare_it(define: Define) -> None:
    marker = chains.depends(define(SOURCE).A)

    with pytest.raises(ChainsRuntimeError) as caught:
        _ = marker.run_remote

    assert str(caught.value).startswith(
        "It seems `chains.depends(A)` was used, but not as an argument to the `__init__` method of a Chainlet - This "
        "is not supported. Dependency Chainlets must be passed as init arguments.\nExample of correct `__init__` with"
    )


def test_a_context_that_was_not_injected_says_how_to_declare_it() -> None:
    context = chains.depends_context()

    assert isinstance(context, ContextMarker) and repr(context) == "depends_context()"
    with pytest.raises(ChainsRuntimeError, match=r"It seems `chains\.depends_context\(\)` was used, but not as an arg"):
        _ = context.secrets


def test_marks_can_be_copied_and_looked_at_by_libraries() -> None:
    chainlet: Any = int
    marker = DependencyMarker(chainlet, chains.RPCOptions())

    assert copy.deepcopy(marker).chainlet is chainlet
    assert pickle.loads(pickle.dumps(marker)).chainlet is chainlet
    assert not hasattr(marker, "__array__") and not hasattr(ContextMarker(), "__array__")
