"""The chainlet of a runner, made and ready to be called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from penstock.chains.description import EndpointDescription
from penstock.chains.remote.encoding_types import EndpointTypes


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What is known of `run_remote` before the chainlet is made."""

    description: EndpointDescription
    types: EndpointTypes


@dataclass(frozen=True, slots=True)
class Served:
    """A chainlet, the way into it, and what was injected."""

    chainlet: Any
    call: Callable[..., Any]
    """Its `run_remote` or `predict`, bound."""
    stubs: Mapping[str, object]
    """By the parameter of `__init__`."""
