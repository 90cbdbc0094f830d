"""The files of this repository, as the house rules see them."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

GENERATED = ("sdk/penstock/api/", "docs/close_codes.md", "bench/RESULTS.md", "constraints.txt")
"""Beginnings of the paths that nobody writes by hand."""

PACKAGES = ("sdk/penstock/", "edge/penstock_edge/", "runner/penstock_runner/", "controller/penstock_controller/")
"""Folders that are installed."""

_UNTRACKED = {"__pycache__", "node_modules", "build", "dist"}


@cache
def files() -> tuple[str, ...]:
    """Returns every file that is tracked or could be, relative to the root, without ignored ones."""
    git = shutil.which("git")
    if git and (ROOT / ".git").exists():
        command = [git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout.split("\0")
        # A tracked file that was deleted is listed until the deletion is committed.
        return tuple(sorted(name for name in set(listed) if name and (ROOT / name).is_file()))
    return tuple(sorted(_walk()))


def _walk() -> list[str]:
    # For a source archive, or a machine without git: everything but hidden and well-known build folders.
    found = []
    for folder, names, leaves in os.walk(ROOT):
        names[:] = [name for name in names if name not in _UNTRACKED and (name == ".ci" or not name.startswith("."))]
        found += [(Path(folder) / leaf).relative_to(ROOT).as_posix() for leaf in leaves]
    return found


def is_handwritten(name: str) -> bool:
    return not name.startswith(GENERATED)


def python_files(*prefixes: str) -> list[str]:
    """Returns the hand-written Python files below `prefixes` (each ending in "/"), or all of them."""
    return [
        name
        for name in files()
        if name.endswith(".py") and is_handwritten(name) and (not prefixes or name.startswith(prefixes))
    ]


@cache
def text(name: str) -> str:
    """Returns the content of a file; empty for one that is not text."""
    try:
        return (ROOT / name).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


@cache
def syntax(name: str) -> ast.Module:
    return ast.parse(text(name), filename=name)


def dotted(node: ast.expr) -> str:
    """Returns `a.b.c` for a chain of names; "" ends the chain where something else stands."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""
