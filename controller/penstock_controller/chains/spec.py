"""What a chain must be like to be created. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from penstock_controller.errors import InvalidRequestError

CHAINLETS_MAX = 100
"""Chainlets of one chain."""

CHAIN_NAME_CHARACTERS_MAX = 40
"""With a chainlet's name and a hash it becomes part of the names of files."""

PROBLEMS_SHOWN = 50
"""Problems that one refusal lists."""

_CHAIN_NAME = re.compile(rf"[a-z0-9][a-z0-9_-]{{0,{CHAIN_NAME_CHARACTERS_MAX - 1}}}")
_CHAINLET_NAME = re.compile(r"[a-zA-Z0-9_-]{1,60}")


@dataclass(frozen=True, slots=True)
class WantedChainlet:
    """A chainlet that someone asks for."""

    name: str
    """Display name."""
    artifact: str = ""
    """Hash of the packed Truss directory that runs it. Either this or `source`."""
    source: str = ""
    """Absolute path of a Truss directory."""
    is_entrypoint: bool = False
    dependencies: tuple[str, ...] = ()
    """Display names of the chainlets that it calls."""


@dataclass(frozen=True, slots=True)
class WantedChain:
    """A chain that someone asks for."""

    name: str
    chainlets: tuple[WantedChainlet, ...]
    environment: str = ""
    """That is to point to it; empty for none."""
    replicas: int | None = None
    """Exactly so many of each chainlet, instead of scaling."""


def refuse_problems(chain: str, found: Sequence[str]) -> None:
    """Raises InvalidRequestError when there are any."""
    if not found:
        return
    shown = "".join(f"\n  {problem}" for problem in found[:PROBLEMS_SHOWN])
    more = len(found) - PROBLEMS_SHOWN
    raise InvalidRequestError(
        f"chain {chain!r} cannot be created:{shown}" + (f"\n  and {more} more" if more > 0 else "")
    )


def problems(chain: WantedChain) -> Iterator[str]:
    """Tells all that is wrong with names and dependencies. The environment is not looked at."""
    if not _CHAIN_NAME.fullmatch(chain.name):
        yield (
            f"name: must be 1 to {CHAIN_NAME_CHARACTERS_MAX} of a-z, 0-9, '-' and '_', starting with a letter or digit,"
            f" got {chain.name!r}"
        )
    if not 1 <= len(chain.chainlets) <= CHAINLETS_MAX:
        yield f"chainlets: 1 to {CHAINLETS_MAX} must be given, got {len(chain.chainlets)}"
        return
    yield from _name_problems(chain.chainlets)
    entrypoints = [chainlet.name for chainlet in chain.chainlets if chainlet.is_entrypoint]
    if len(entrypoints) != 1:
        yield f"chainlets: exactly one must be the entrypoint, got {_listed(entrypoints) or 'none'}"
    names = {chainlet.name for chainlet in chain.chainlets}
    for chainlet in chain.chainlets:
        yield from _chainlet_problems(chainlet, names)
    cycle = _cycle({c.name: [d for d in c.dependencies if d in names] for c in chain.chainlets})
    if cycle:
        yield f"chainlets: {' -> '.join(cycle)} is a circle; calls must lead away from the entrypoint"


def _name_problems(chainlets: Sequence[WantedChainlet]) -> Iterator[str]:
    for chainlet in chainlets:
        if not _CHAINLET_NAME.fullmatch(chainlet.name):
            yield f"chainlet {chainlet.name!r}: its name must be 1 to 60 of a-z, A-Z, 0-9, '-' and '_'"
    for name, count in Counter(chainlet.name for chainlet in chainlets).items():
        if count > 1:
            yield f"chainlet {name!r}: {count} chainlets have this name; give each its own"


def _chainlet_problems(chainlet: WantedChainlet, names: set[str]) -> Iterator[str]:
    where = f"chainlet {chainlet.name!r}"
    if bool(chainlet.artifact) == bool(chainlet.source):
        yield f"{where}: exactly one of artifact and source must be given"
    for dependency, count in Counter(chainlet.dependencies).items():
        if dependency not in names:
            there = _listed(sorted(names))
            yield f"{where}: dependency {dependency!r} is no chainlet of this chain; there are: {there}"
        elif count > 1:
            yield f"{where}: dependency {dependency!r} is given {count} times"


def _cycle(calls: Mapping[str, Sequence[str]]) -> list[str]:
    """Returns the names along a circle of calls, the first again at the end; empty when there is none."""
    done: set[str] = set()
    for start in calls:
        path: list[str] = []
        ahead = [iter([start])]
        while ahead:
            name = next(ahead[-1], None)
            if name is None:
                ahead.pop()
                if path:
                    done.add(path.pop())
            elif name in path:
                return [*path[path.index(name) :], name]
            elif name not in done:
                path.append(name)
                ahead.append(iter(calls[name]))
    return []


def _listed(names: Sequence[str], shown: int = 10) -> str:
    text = ", ".join(names[:shown])
    return text if len(names) <= shown else f"{text} and {len(names) - shown} more"
