"""Files and folders that are on this machine already."""

from __future__ import annotations

import os
from pathlib import Path

from penstock.weights.digests import file_sha256
from penstock.weights.errors import WeightsError
from penstock.weights.patterns import Patterns
from penstock.weights.sources import LocalSource

FILES_MAX = 100_000
"""A folder with more files is refused where patterns choose among them."""


def check_local(source: LocalSource, *, sha256: str | None, key: str) -> Path:
    """Returns the absolute path of `source`; raises WeightsError when it is not there or not what it should be."""
    path = source.path.absolute()
    try:
        if path.is_dir():
            if sha256:
                raise WeightsError(key, f"{path} is a folder; sha256 is for one file")
            os.scandir(path).close()
        elif path.is_file():
            with path.open("rb"):
                pass
        else:
            raise WeightsError(key, f"{path} is not there")
        if sha256 and (found := file_sha256(path).hexdigest()) != sha256:
            raise WeightsError(key, f"SHA-256 of {path} is {found}, expected {sha256}")
    except OSError as exc:
        raise WeightsError(key, f"{path} cannot be read: {exc.strerror or exc}") from exc
    return path


def wanted_files(folder: Path, patterns: Patterns, *, key: str) -> dict[str, Path]:
    """Returns the wanted files below `folder` by their relative names; raises WeightsError when there are none."""
    found: dict[str, Path] = {}
    seen = 0
    for parent, _, names in os.walk(folder):
        for name in sorted(names):
            seen += 1
            if seen > FILES_MAX:
                raise WeightsError(key, f"{folder} holds more than {FILES_MAX} files; name a folder with fewer")
            path = Path(parent, name)
            relative = path.relative_to(folder).as_posix()
            if patterns.wants(relative):
                found[relative] = path
    if not found:
        raise WeightsError(key, f"{folder} has no file that is wanted ({seen} in all; {patterns})")
    return found


def local_size(path: Path) -> tuple[int, int]:
    """Returns how many files are at or below `path`, and their bytes."""
    if path.is_file():
        return 1, path.stat().st_size
    files = [os.path.join(parent, name) for parent, _, names in os.walk(path) for name in names]
    return len(files), sum(os.stat(name).st_size for name in files if os.path.exists(name))
