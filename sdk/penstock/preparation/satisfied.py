"""Whether what is installed is already what a line asks for."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from typing import Any

from penstock.preparation.requirement_line import RequirementLine

Installed = Callable[[str], str | None]
"""Returns the installed version of a project; None when it is not installed."""

_PIN = re.compile(r"\s*([A-Za-z0-9._-]+)\s*==\s*([A-Za-z0-9.!+]+)\s*")


def is_satisfied(line: RequirementLine, installed: Installed) -> bool:
    """Whether `line` names versions, and one of them is installed.

    A bare name asks for the newest version, and extras for more packages; neither is ever satisfied. Nor is a line with
    a marker, an address or a path.
    """
    if line.is_option or line.path is not None or not line.name or re.search(r"[\[;@]|://", line.text):
        return False
    version = installed(line.name)
    if version is None:
        return False
    if found := _PIN.fullmatch(line.text):
        return found[2] == version
    requirement = _requirement_class()
    if requirement is None:
        return False
    try:
        specifier = requirement(line.text).specifier
    except ValueError:
        return False
    return bool(str(specifier)) and bool(specifier.contains(version))


def _requirement_class() -> Any:
    # `packaging` is no dependency of ours. Where it is missing, pip has a copy; without both only exact pins are known.
    for name in ("packaging.requirements", "pip._vendor.packaging.requirements"):
        try:
            return import_module(name).Requirement
        except ImportError:
            continue
    return None
