"""What all kinds of chainlet classes have in common."""

from __future__ import annotations

import abc
import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from penstock.chains.instantiation import guard_init
from penstock.chains.names import MODEL_METHOD, RUN_REMOTE_METHOD
from penstock.chains.remote_config import RemoteConfig

T_co = TypeVar("T_co", covariant=True)
ChainletT = TypeVar("ChainletT", bound="ABCChainlet")


class EntityType(enum.StrEnum):
    """Kinds of chainlet classes."""

    CHAINLET = "CHAINLET"
    MODEL = "MODEL"
    ENGINE_BUILDER_MODEL = "ENGINE_BUILDER_MODEL"
    TRUSS_CHAINLET = "TRUSS_CHAINLET"


@dataclass(slots=True)
class ChainletMetadata:
    """What decorators and the framework have noted about a class."""

    is_entrypoint: bool = False
    chain_name: str | None = None


class ClassProperty(Generic[T_co]):
    """A property of the class itself."""

    def __init__(self, getter: Callable[[Any], T_co]) -> None:
        self._getter = getter
        self.__doc__ = getter.__doc__

    def __get__(self, instance: object, owner: type) -> T_co:
        return self._getter(owner)


class ABCChainlet(abc.ABC):  # noqa: B024  # users may derive abstract chainlets from it
    """Base of ChainletBase, ModelBase and TrussChainlet."""

    remote_config: ClassVar[RemoteConfig] = RemoteConfig()
    meta_data: ClassVar[ChainletMetadata] = ChainletMetadata()
    _entity_type: ClassVar[EntityType] = EntityType.CHAINLET

    @ClassProperty
    def name(cls) -> str:  # a property of the class
        """Name of the class."""
        return str(cls.__name__)  # type: ignore[attr-defined]  # mypy takes `cls` for an instance

    @ClassProperty
    def display_name(cls) -> str:  # a property of the class
        """Name of the chainlet on the platform: that of `remote_config`, else the class name."""
        config = cls.remote_config
        return (config.name if isinstance(config, RemoteConfig) else None) or cls.name

    @ClassProperty
    def entity_type(cls) -> EntityType:  # a property of the class
        """Kind of the class."""
        return cls._entity_type

    @ClassProperty
    def supports_dependencies(cls) -> bool:  # a property of the class
        """Whether `__init__` may take other chainlets."""
        return cls._entity_type is EntityType.CHAINLET

    @ClassProperty
    def endpoint_method_name(cls) -> str:  # a property of the class
        """Name of the method that is called remotely."""
        return MODEL_METHOD if cls._entity_type is EntityType.MODEL else RUN_REMOTE_METHOD

    def __init__(self) -> None:  # noqa: B027  # chainlets without an `__init__` take no arguments
        """Takes nothing."""

    @classmethod
    def has_custom_init(cls) -> bool:
        """Whether the class, or one between it and the framework's, has an `__init__` of its own."""
        return cls.__init__ is not ABCChainlet.__init__


guard_init(ABCChainlet)
