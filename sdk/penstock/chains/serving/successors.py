"""A chainlet of newer code in the place of one that serves: the chains' part of a hot reload."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from penstock.chains.description import ChainletDescription
from penstock.chains.serving.injection import Injector
from penstock.chains.serving.served import Served

Successor = Callable[[object, type], object]
Refusal = Callable[[str], Exception]


def take_over(
    old: Served,
    description: ChainletDescription,
    injector: Injector,
    predecessors: list[object],
    successor: Successor,
    refusal: Refusal,
) -> Served:
    """Returns the chainlet of `description` with the state of the old one. Its stubs become stubs of the new classes.

    Stubs stay the same objects, wherever the chainlet has put them; only what they know of the callee is new. So a call
    that goes on with the old code gets models of the new code from its next inner call.

    Args:
        predecessors: Gets the old chainlet, if its end would be noticed.
        successor, refusal: see ChainletModel.penstock_take_over.

    Raises:
        Exception: that of `refusal`, or of `successor`. Nothing has changed then.
    """
    for name, dependency in description.dependencies.items():
        if name not in old.stubs:
            raise refusal(
                f"`{description.display_name}` has the new dependency `{dependency.display_name}`, and `__init__` is "
                "not run again"
            )
    services = injector.services()
    stubs = injector.stubs(services)
    chainlet: Any = successor(old.chainlet, description.chainlet)
    call = endpoint_of(chainlet, description)
    if hasattr(type(old.chainlet), "__del__"):
        predecessors.append(old.chainlet)
    for name, stub in stubs.items():
        _graft(old.stubs[name], stub)
    return Served(chainlet, call, {name: old.stubs[name] for name in stubs})


def endpoint_of(chainlet: object, description: ChainletDescription) -> Callable[..., Any]:
    """Returns the method that is called remotely, bound."""
    assert description.endpoint is not None
    method: Callable[..., Any] = getattr(chainlet, description.endpoint.name)
    return method


def run_to_end(result: Any) -> None:
    """Runs what a method of the user's has returned, if it is a coroutine. Not on an event loop's thread."""
    if inspect.iscoroutine(result):
        asyncio.run(result)


def _graft(old: Any, new: Any) -> None:
    """Makes `old` what `new` is."""
    if type(old) is not type(new):
        old.__class__ = type(new)
    vars(old).clear()
    vars(old).update(vars(new))
