"""The interpreter that runs Penstock, and what a model's environment takes over from it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("penstock", "penstock_edge", "penstock_runner", "penstock_controller")
LOWEST_DEFAULT = "3.11"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformPython:
    """Facts of an interpreter in which Penstock is installed."""

    executable: str
    version: str
    """In full, such as "3.11.7"."""
    site_folders: tuple[str, ...]
    """Folders of installed packages, in the order of sys.path."""
    source_roots: tuple[str, ...]
    """Folders outside of them that hold packages of Penstock: an editable install."""
    metadata_folder: str
    """Penstock's .dist-info; empty when it is not installed as a distribution."""
    needs: tuple[str, ...]
    """Penstock's own requirements, as lines."""
    lowest_minor: str
    """The oldest version of Python that Penstock runs with."""
    has_pip: bool

    @property
    def minor(self) -> str:
        return ".".join(self.version.split(".")[:2])

    def fingerprint(self) -> str:
        """Returns a text that is another one as soon as another version of anything is installed."""
        names = {
            name for folder in self.site_folders for name in _names(folder) if name.endswith((".dist-info", ".pth"))
        }
        parts = [self.version, *self.site_folders, *self.source_roots, *sorted(names)]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def this_python() -> PlatformPython:
    """Returns the facts of the running interpreter."""
    site_folders = tuple(
        dict.fromkeys(
            entry
            for entry in sys.path
            if Path(entry).name in ("site-packages", "dist-packages") and os.path.isdir(entry)
        )
    )
    roots = [_root(name) for name in PACKAGES]
    metadata_folder = ""
    needs: tuple[str, ...] = ()
    lowest = LOWEST_DEFAULT
    try:
        distribution = importlib.metadata.distribution("penstock")
    except importlib.metadata.PackageNotFoundError:
        pass
    else:
        needs = own_requirements(distribution.requires or ())
        # A private name, but the only way to the folder; without it an environment merely lacks Penstock's metadata.
        metadata_folder = str(getattr(distribution, "_path", ""))
        found = re.search(r">=\s*(\d+\.\d+)", str(distribution.metadata["Requires-Python"]))
        lowest = found[1] if found else lowest
    return PlatformPython(
        executable=sys.executable,
        version=".".join(map(str, sys.version_info[:3])),
        site_folders=site_folders,
        source_roots=tuple(dict.fromkeys(root for root in roots if root and root not in site_folders)),
        metadata_folder=metadata_folder,
        needs=needs,
        lowest_minor=lowest,
        has_pip=importlib.util.find_spec("pip") is not None,
    )


def own_requirements(lines: Iterable[str]) -> tuple[str, ...]:
    """Returns those of `Requires-Dist` that belong to no extra."""
    return tuple(line for line in lines if not re.search(r";.*\bextra\b", line))


def installed_version(name: str) -> str | None:
    """Returns the version of a project that is installed for this interpreter; None when it is not."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _root(package: str) -> str:
    spec = importlib.util.find_spec(package)
    locations = list(spec.submodule_search_locations or ()) if spec is not None else []
    return os.path.dirname(os.path.abspath(locations[0])) if locations else ""


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
