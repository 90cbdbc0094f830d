"""Marks the chainlet that clients call."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any, overload

from penstock.chains import registry
from penstock.chains.abc_chainlet import ABCChainlet, ChainletMetadata, ChainletT, EntityType
from penstock.chains.errors import ChainsUsageError
from penstock.chains.problems import Problem, ProblemKind
from penstock.chains.validation import class_place


@overload
def mark_entrypoint(cls_or_chain_name: type[ChainletT]) -> type[ChainletT]: ...
@overload
def mark_entrypoint(cls_or_chain_name: str) -> Callable[[type[ChainletT]], type[ChainletT]]: ...
def mark_entrypoint(cls_or_chain_name: Any) -> Any:
    """Marks a chainlet as the entrypoint of its chain, so that a push needs the file only.

    Bare (`@mark_entrypoint`), or with a name for the chain (`@mark_entrypoint("My Chain")`).

    Raises:
        ChainsUsageError: what is marked is no chainlet class.
    """
    if isinstance(cls_or_chain_name, str):
        return lambda chainlet: _marked(chainlet, cls_or_chain_name)
    return _marked(cls_or_chain_name, None)


def _marked(chainlet: Any, chain_name: str | None) -> Any:
    if not inspect.isclass(chainlet) or not issubclass(chainlet, ABCChainlet):
        raise ChainsUsageError(
            "`mark_entrypoint` can only be applied to chainlet classes (with an optional chain name), "
            f"got {chainlet!r}."
        )
    if chainlet.entity_type is EntityType.TRUSS_CHAINLET:
        text = (
            "TrussChainlet cannot be a chain entrypoint. Use a ChainletBase entrypoint that depends on the "
            "TrussChainlet via `chains.depends(...)`."
        )
        place = replace(class_place(chainlet), chainlet=None)
        registry.add_problem(chainlet, Problem(text, ProblemKind.TYPE_ERROR, place))
    chainlet.meta_data = ChainletMetadata(is_entrypoint=True, chain_name=chain_name)
    return chainlet
