"""Keys of config.yaml that nobody knows: a push refuses them, as Truss does, because they are mostly slips. Pure."""

from __future__ import annotations

from penstock.truss import Problem, TrussConfig

_UNKNOWN = "is not known and has no effect"
"""How Section.warn_unknown begins."""


def unknown_keys(config: TrussConfig) -> list[Problem]:
    """Returns the warnings that are about unknown keys, in the order of the file."""
    return [problem for problem in config.warnings if problem.message.startswith(_UNKNOWN)]
