"""The classes that users derive their chainlets from."""

from __future__ import annotations

from typing import Any, ClassVar

from penstock.chains import registry
from penstock.chains.abc_chainlet import ABCChainlet, ChainletMetadata, ChainletT, EntityType
from penstock.chains.instantiation import guard_init
from penstock.chains.markers import ContextMarker, DependencyMarker, depends, depends_context

__all__ = [
    "ABCChainlet",
    "ChainletBase",
    "ChainletMetadata",
    "ChainletT",
    "ContextMarker",
    "DependencyMarker",
    "EntityType",
    "ModelBase",
    "depends",
    "depends_context",
]


class ChainletBase(ABCChainlet):
    """Base class of chainlets.

    A chainlet has a method `run_remote`, which is called from other chainlets or by clients, and may take other
    chainlets as arguments of its `__init__` (see `depends`). Classes are checked when they are defined; what is wrong
    with them is reported together, when the chain is run or pushed.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.meta_data = ChainletMetadata()
        registry.register(cls)
        guard_init(cls)


class ModelBase(ABCChainlet):
    """Base class of a single model: `predict` instead of `run_remote`, and no dependencies."""

    _entity_type: ClassVar[EntityType] = EntityType.MODEL

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.meta_data = ChainletMetadata(is_entrypoint=True)
        registry.register(cls)
        guard_init(cls)
