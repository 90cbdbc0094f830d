"""Makes a folder hold exactly the files of a generated Truss, and touches none that is right already."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from penstock.chains.errors import ChainsUsageError
from penstock.chains.workspace import SourceFile, Tree

OWNED_FOLDERS = ("external", "model", "packages")
"""Of what lies in these, all that is not of the tree is removed. In others models and build commands may write."""
_KEPT = "__pycache__"
"""Replicas write there."""
_TEMPORARY = ".penstock-new-"


def write_tree(folder: Path, tree: Tree) -> tuple[str, ...]:
    """Writes the tree; returns the paths that were written or removed, sorted.

    Each file is replaced as a whole, so a replica that starts now reads the old or the new one.

    Raises:
        ChainsUsageError: Something cannot be read or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        changed = [path for path, file in tree.items() if _write(folder, path, file)]
        for name in OWNED_FOLDERS:
            changed += _prune(folder, name, tree)
        return tuple(sorted(changed))
    except OSError as exc:
        raise ChainsUsageError(f"cannot write {exc.filename or folder}: {exc.strerror}") from None


def _write(folder: Path, path: str, file: SourceFile) -> bool:
    """Returns whether there was something to do."""
    target = folder / path
    mode = 0o755 if file.is_executable else 0o644
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    if _is_right(target, file, mode):
        return False
    for parent in target.parents:
        if parent == folder:
            break
        # A file may have become a folder.
        if parent.is_symlink() or parent.is_file():
            parent.unlink()
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f"{_TEMPORARY}{os.getpid()}")
    try:
        if file.copied_from is None:
            temporary.write_bytes(file.content)
        else:
            # With its time, by which the next writing sees that it is right.
            shutil.copyfile(file.copied_from, temporary)
            found = file.copied_from.stat()
            os.utime(temporary, ns=(found.st_mtime_ns, found.st_mtime_ns))
        temporary.chmod(mode)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _is_right(target: Path, file: SourceFile, mode: int) -> bool:
    try:
        found = target.lstat()
        if found.st_mode & 0o777 != mode or target.is_symlink():
            return False
        if file.copied_from is None:
            return found.st_size == len(file.content) and target.read_bytes() == file.content
        wanted = file.copied_from.stat()
        return (found.st_size, found.st_mtime_ns) == (wanted.st_size, wanted.st_mtime_ns)
    except (FileNotFoundError, NotADirectoryError):
        return False


def _prune(folder: Path, name: str, tree: Tree) -> list[str]:
    removed: list[str] = []
    for place, names, leaves in os.walk(folder / name, topdown=False):
        if _KEPT in Path(place).relative_to(folder).parts:
            continue
        for leaf in leaves:
            path = Path(place) / leaf
            relative = path.relative_to(folder).as_posix()
            if relative not in tree:
                path.unlink()
                removed.append(relative)
        left = [item for item in (*names, *leaves) if item != _KEPT and (Path(place) / item).exists()]
        if not left:
            shutil.rmtree(place)
    return removed
