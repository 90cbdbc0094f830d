"""The chainlet classes of this process, and what is wrong with them."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import ModuleType

from penstock.chains.abc_chainlet import ABCChainlet
from penstock.chains.description import ChainletDescription
from penstock.chains.errors import ChainsUsageError
from penstock.chains.problems import Problem, report
from penstock.chains.validation import ChainletCheck, class_place


@dataclass
class ChainletRegistry:
    """Classes in the order of their definition."""

    descriptions: dict[type, ChainletDescription] = field(default_factory=dict)
    """Of all classes; of those that break a rule as much as could be made out."""
    broken: dict[type, tuple[Problem, ...]] = field(default_factory=dict)
    """What is wrong, also when it has been raised."""
    pending: list[Problem] = field(default_factory=list)
    """What has not been raised yet."""
    by_name: dict[str, type] = field(default_factory=dict)
    modules: dict[type, weakref.ref[ModuleType]] = field(default_factory=dict)
    """The module object in which a class was defined, where there was one."""

    def forget(self, chainlet: type) -> None:
        """Drops one class."""
        self.descriptions.pop(chainlet, None)
        self.modules.pop(chainlet, None)
        problems = self.broken.pop(chainlet, ())
        self.pending = [problem for problem in self.pending if not any(problem is gone for gone in problems)]
        if self.by_name.get(chainlet.__name__) is chainlet:
            del self.by_name[chainlet.__name__]


_registry = ChainletRegistry()


def use(registry: ChainletRegistry) -> ChainletRegistry:
    """Makes `registry` the process's and returns the one before; for tests, which must leave nothing behind."""
    global _registry
    before = _registry
    _registry = registry
    return before


def classes() -> tuple[type, ...]:
    """Returns the classes, in the order of their definition."""
    return tuple(_registry.descriptions)


def register(chainlet: type[ABCChainlet]) -> None:
    """Checks a class and keeps what is wrong with it for `raise_errors`.

    Raises:
        ChainsUsageError: another class has its name.
    """
    _check_unique(chainlet)
    check = ChainletCheck(chainlet, _registry.descriptions)
    _registry.descriptions[chainlet] = check.describe()
    _registry.by_name[chainlet.__name__] = chainlet
    module = sys.modules.get(chainlet.__module__)
    if module is not None:
        _registry.modules[chainlet] = weakref.ref(module)
    for problem in check.problems:
        add_problem(chainlet, problem)


def add_problem(chainlet: type, problem: Problem) -> None:
    """Notes something that is wrong with a class that has been registered."""
    _registry.broken[chainlet] = (*_registry.broken.get(chainlet, ()), problem)
    _registry.pending.append(problem)


@contextmanager
def transaction() -> Iterator[None]:
    """For an import of modules with chainlets: forgets classes whose module is gone, and all of it when it fails.

    Modules that are to be imported anew are taken out of `sys.modules` before.
    """
    global _registry
    before = _registry
    _registry = replace(
        before,
        descriptions=dict(before.descriptions),
        broken=dict(before.broken),
        pending=list(before.pending),
        by_name=dict(before.by_name),
        modules=dict(before.modules),
    )
    for chainlet in classes():
        if chainlet.__module__ not in sys.modules:
            _registry.forget(chainlet)
    try:
        yield
    except BaseException:
        _registry = before
        raise


def describe(chainlet: type) -> ChainletDescription:
    """Returns what a chainlet class is.

    Raises:
        ChainsUsageError: it is no chainlet class, or breaks a rule.
    """
    found = _described(chainlet)
    if chainlet in _registry.broken:
        raise ChainsUsageError(report(_registry.broken[chainlet]))
    return found


def raise_errors() -> None:
    """Reports everything that is wrong with the classes that were defined since the last report.

    Raises:
        ChainsUsageError: something is wrong.
    """
    if _registry.pending:
        problems, _registry.pending = tuple(_registry.pending), []
        raise ChainsUsageError(report(problems))


def graph(entrypoint: type) -> tuple[ChainletDescription, ...]:
    """Returns the chainlets of a chain: each after those that it calls, the entrypoint last.

    Raises:
        ChainsUsageError: they break rules; the text has all of them. Or two have the same display name.
    """
    ordered: dict[type, ChainletDescription] = {}

    def visit(chainlet: type) -> None:
        if chainlet in ordered:
            return
        description = _described(chainlet)
        for dependency in description.dependencies.values():
            visit(dependency.chainlet)
        ordered[chainlet] = description

    visit(entrypoint)
    problems = [problem for chainlet in ordered for problem in _registry.broken.get(chainlet, ())]
    if problems:
        raise ChainsUsageError(report(problems))
    _check_display_names(ordered)
    return tuple(ordered.values())


def _described(chainlet: type) -> ChainletDescription:
    found = _registry.descriptions.get(chainlet)
    if found is None:
        raise ChainsUsageError(f"{chainlet!r} is no chainlet class: it must be derived from `ChainletBase`.")
    return found


def _check_unique(chainlet: type) -> None:
    other = _registry.by_name.get(chainlet.__name__)
    if other is None:
        return
    if _is_stale(other, chainlet):
        _registry.forget(other)
        return
    raise ChainsUsageError(
        f"A Chainlet with name `{chainlet.__name__}` was already defined, Chainlet names must be globally unique.\n"
        f"Pre-existing in: `{class_place(other).path}`\n"
        f"New conflict in: `{class_place(chainlet).path}`."
    )


def _is_stale(old: type, new: type) -> bool:
    """Whether the module of a class is being imported again under its name."""
    module = _registry.modules.get(old)
    return old.__module__ == new.__module__ and module is not None and module() is not sys.modules.get(new.__module__)


def _check_display_names(chainlets: Iterable[type]) -> None:
    by_name: dict[str, type] = {}
    for chainlet in chainlets:
        name = _registry.descriptions[chainlet].display_name
        other = by_name.setdefault(name, chainlet)
        if other is not chainlet:
            raise ChainsUsageError(
                f"Two chainlets of the chain have the display name `{name}`: `{other.__name__}` and "
                f"`{chainlet.__name__}`. Give one another name with `remote_config = RemoteConfig(name=...)`."
            )
