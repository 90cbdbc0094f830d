"""What a chainlet is: the outcome of looking at its class once, for everything that runs, calls or deploys it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from penstock.chains.options import RPCOptions


class EndpointKind(Enum):
    """How `run_remote` is called."""

    UNARY = "unary"
    """Arguments in, one result out."""
    STREAM = "stream"
    """Arguments in, items out: an asynchronous generator of `str` or `bytes`."""
    CONVERSATION = "conversation"
    """Items in and items out at the same time: one argument is an `AsyncIterator`, the result is one, too."""
    WEBSOCKET = "websocket"
    """The client's WebSocket itself; entrypoints only."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of `run_remote`, without `self`."""

    name: str
    annotation: Any
    """The type; of `AsyncIterator[T]` the whole annotation."""
    is_optional: bool = False
    """It has a default in the callee."""
    default: Any = None
    item_type: Any = None
    """T of `AsyncIterator[T]`; None for an argument that is no stream."""


@dataclass(frozen=True, slots=True)
class EndpointDescription:
    """`run_remote` of a chainlet, or `predict` of a ModelBase."""

    name: str
    kind: EndpointKind
    is_async: bool
    arguments: tuple[Argument, ...]
    result_types: tuple[Any, ...]
    """One type; several for a tuple; (T,) for `AsyncIterator[T]`; empty for a WebSocket."""
    is_tuple: bool = False

    @property
    def stream_argument(self) -> Argument | None:
        """The argument that is an `AsyncIterator`, of a conversation."""
        return next((argument for argument in self.arguments if argument.item_type is not None), None)


@dataclass(frozen=True, slots=True)
class Dependency:
    """An `__init__` argument that is another chainlet."""

    parameter: str
    chainlet: type
    options: RPCOptions

    @property
    def display_name(self) -> str:
        """Display name of the chainlet that is called."""
        return str(self.chainlet.display_name)  # type: ignore[attr-defined]  # every chainlet class has one


@dataclass(frozen=True, slots=True)
class ChainletDescription:
    """A chainlet class that follows the rules."""

    chainlet: type
    display_name: str
    endpoint: EndpointDescription | None
    """None for a TrussChainlet, which has no code here."""
    dependencies: Mapping[str, Dependency] = field(default_factory=dict)
    """By `__init__` parameter, in order."""
    has_context: bool = False
    has_health_check: bool = False
    is_model: bool = False
    """A ModelBase: `predict` instead of `run_remote`, no dependencies."""
    is_truss: bool = False
    """A TrussChainlet: a Truss directory that runs as it is."""
