"""Puts fetched files where the model looks for them, with symbolic links, and never over what is not ours."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from penstock.weights.digests import file_sha256
from penstock.weights.errors import WeightsError


def put_link(link: Path, target: Path, *, key: str, is_ours: Callable[[Path], bool]) -> None:
    """Makes `link` a symbolic link to `target`, in one step where a link of ours stands already.

    An empty folder gives way, and a file of the same content stays as it is.

    Raises:
        WeightsError: something else is there, or the link cannot be made.
    """
    _make_parent(link.parent, key)
    try:
        if link.is_symlink():
            if os.readlink(link) == str(target):
                return
            if not is_ours(link):
                raise WeightsError(key, f"{link} is a link to {os.readlink(link)} that is not Penstock's; remove it")
        elif link.is_dir():
            _remove_empty(link, key)
        elif link.exists():
            if _same_content(link, target):
                return
            raise WeightsError(key, f"{link} is there with other content; move it away, or choose another path")
        _replace_link(link, target)
    except OSError as exc:
        raise WeightsError(key, f"the link {link} cannot be made: {exc.strerror or exc}") from exc


def is_present(place: Path, files: Iterable[tuple[str, int | None]], *, is_file: bool) -> bool:
    """Whether all files (name, bytes) are at or below `place` with their length; not when a length is unknown."""
    for name, size in files:
        path = place if is_file else place / name
        if size is None or not path.is_file() or path.stat().st_size != size:
            return False
    return True


def _replace_link(link: Path, target: Path) -> None:
    beside = link.with_name(f".{link.name[:200]}.{os.getpid()}.new")
    beside.unlink(missing_ok=True)
    beside.symlink_to(target)
    try:
        os.replace(beside, link)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _make_parent(parent: Path, key: str) -> None:
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        there = next(path for path in (parent, *parent.parents) if path.exists() or path.is_symlink())
        raise WeightsError(
            key,
            f"the folder {parent} cannot be made: {exc.strerror or exc} in {there}; make it for this user, for example "
            f"with: sudo install -d -o $USER {parent}",
        ) from None
    if not os.access(parent, os.W_OK | os.X_OK):
        raise WeightsError(
            key, f"the folder {parent} cannot be written by this user; for example: sudo chown $USER {parent}"
        )


def _remove_empty(folder: Path, key: str) -> None:
    try:
        folder.rmdir()
    except OSError as exc:
        raise WeightsError(
            key,
            f"{folder} is a folder with other files than those wanted, or cannot be replaced by a link "
            f"({exc.strerror}); move it away, or choose another path",
        ) from None


def _same_content(path: Path, target: Path) -> bool:
    if not target.is_file() or path.stat().st_size != target.stat().st_size:
        return False
    return file_sha256(path).digest() == file_sha256(target).digest()
