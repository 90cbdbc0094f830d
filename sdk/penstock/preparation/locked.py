"""What a pyproject.toml or a uv.lock asks for, as lines of requirements. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from penstock.preparation.errors import PreparationError


@dataclass(frozen=True, slots=True)
class Asked:
    """Lines that the installer understands; local paths are relative to the file that was read."""

    lines: tuple[str, ...]
    constraints: tuple[str, ...] = ()
    """Exact versions of what `lines` bring along."""
    problems: tuple[str, ...] = ()


def asked_by_project(document: Mapping[str, Any], file: str) -> Asked:
    """Reads the dependencies of a pyproject.toml.

    Raises:
        PreparationError: It has none that can be read without building the project.
    """
    project = document.get("project")
    if not isinstance(project, dict):
        hint = "; write them there, Poetry's own table is not read" if "poetry" in document.get("tool", {}) else ""
        raise PreparationError(f"{file}: has no table [project] whose `dependencies` could be installed{hint}")
    if "dependencies" in project.get("dynamic", ()):
        raise PreparationError(f"{file}: `dependencies` are dynamic; list them, or give a requirements.txt")
    lines = project.get("dependencies", [])
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise PreparationError(f"{file}: `project.dependencies` must be a list of texts")
    sources = document.get("tool", {}).get("uv", {}).get("sources", {})
    problems: tuple[str, ...] = ()
    if sources:
        names = ", ".join(sorted(sources))
        problems = (f"{file}: [tool.uv.sources] is not read, so {names} come from the index; give uv.lock to use it",)
    return Asked(tuple(lines), problems=problems)


def asked_by_lock(document: Mapping[str, Any], file: str) -> Asked:
    """Reads a uv.lock: the project's own dependencies as lines, every version of the lock as a constraint.

    Raises:
        PreparationError: It is not a lock of uv, or does not tell which package is the project.
    """
    packages = document.get("package")
    if not isinstance(packages, list) or not all(isinstance(package, dict) for package in packages):
        raise PreparationError(f"{file}: has no [[package]] tables; write it with `uv lock`")
    roots = [package for package in packages if _is_root(package)]
    if not roots:
        raise PreparationError(f'{file}: does not tell which package is the project (`source = {{ virtual = "." }}`)')
    by_name: dict[str, list[Mapping[str, Any]]] = {}
    for package in packages:
        by_name.setdefault(str(package.get("name")), []).append(package)
    lines = []
    for root in roots:
        for dependency in root.get("dependencies", ()):
            # Where the lock is forked, the dependency names the version of its branch.
            found = [
                package
                for package in by_name.get(dependency["name"], ())
                if dependency.get("version") in (None, package.get("version"))
            ]
            lines.append(_line(dependency, found))
    counts = Counter(str(package.get("name")) for package in packages)
    constraints = [
        _constraint(package, forked=counts[str(package.get("name"))] > 1)
        for package in packages
        if not _is_root(package)
    ]
    return Asked(tuple(dict.fromkeys(lines)), tuple(line for line in constraints if line))


def _is_root(package: Mapping[str, Any]) -> bool:
    source = package.get("source", {})
    return any(source.get(kind) == "." for kind in ("virtual", "editable", "directory"))


def _line(dependency: Mapping[str, Any], found: Sequence[Mapping[str, Any]]) -> str:
    extras = f"[{','.join(dependency['extra'])}]" if dependency.get("extra") else ""
    marker = f" ; {dependency['marker']}" if dependency.get("marker") else ""
    source = found[0].get("source", {}) if found else {}
    for kind in ("directory", "editable", "virtual", "path"):
        if kind in source:
            return f"{_relative(source[kind])}{extras}{marker}"
    if address := _address(source):
        return f"{dependency['name']}{extras} @ {address}{marker}"
    version = f"=={found[0]['version']}" if len(found) == 1 and "version" in found[0] else ""
    return f"{dependency['name']}{extras}{version}{marker}"


def _constraint(package: Mapping[str, Any], *, forked: bool) -> str:
    if address := _address(package.get("source", {})):
        return f"{package['name']} @ {address}"
    if "registry" not in package.get("source", {}) or "version" not in package:
        return ""
    markers = package.get("resolution-markers", ())
    if forked and not markers:
        return ""
    marker = " ; " + " or ".join(f"({marker})" for marker in markers) if forked else ""
    return f"{package['name']}=={package['version']}{marker}"


def _address(source: Mapping[str, Any]) -> str:
    if "git" in source:
        # "https://host/repo?rev=main#<commit>"
        repository, _, commit = str(source["git"]).partition("#")
        address = re.sub(r"\?.*", "", repository)
        folder = re.search(r"[?&]subdirectory=([^&]+)", repository)
        return f"git+{address}@{commit}" + (f"#subdirectory={folder[1]}" if folder else "")
    return str(source.get("url", ""))


def _relative(path: str) -> str:
    return path if path.startswith(("/", "./", "../")) else f"./{path}"
