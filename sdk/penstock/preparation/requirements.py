"""What a model wants installed: read from config.yaml and the files that it names."""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from penstock.preparation.errors import PreparationError
from penstock.preparation.locked import Asked, asked_by_lock, asked_by_project
from penstock.preparation.requirement_line import RequirementLine, logical_lines, read_line
from penstock.truss import TrussConfig

FILE_BYTES_MAX = 32 * 1024 * 1024
"""A larger requirements file is none; locks of large projects have a few MiB."""
NESTING_MAX = 10
"""Requirements files that name one another; a cycle ends here."""
TREE_FILES_MAX = 20_000
"""Files of a local package that are read for its content; a folder with more is told by names, sizes and times."""
LEFT_OUT = {".git", "__pycache__", ".venv", "node_modules", ".mypy_cache", ".pytest_cache"}


@dataclass(frozen=True, slots=True)
class Requirements:
    """All that is to be installed."""

    lines: tuple[RequirementLine, ...] = ()
    constraints: tuple[str, ...] = ()
    origin: str = "config.yaml: requirements"
    """Where the lines stand, for messages."""
    digests: tuple[str, ...] = ()
    """Content of the local files that the lines read."""
    problems: tuple[str, ...] = ()


def read_requirements(config: TrussConfig, model_dir: Path) -> Requirements:
    """Reads `requirements` or `requirements_file`.

    Raises:
        PreparationError: A file is missing or cannot be understood.
    """
    if config.requirements_file is None:
        texts = [line for text in config.requirements for line in logical_lines(text)]
        lines = _read_lines(texts, _locator(model_dir))
        return Requirements(lines, digests=tuple(_digests(lines)))
    path = model_dir / config.requirements_file
    origin = config.requirements_file
    asked = _read_file(path, origin)
    lines = _read_lines(asked.lines, _locator(path.parent, model_dir))
    return Requirements(lines, asked.constraints, origin, tuple(_digests(lines)), asked.problems)


def _read_file(path: Path, name: str) -> Asked:
    content = _content(path, f"config.yaml: requirements_file: {name}")
    if path.suffix != ".toml" and path.name != "uv.lock":
        return Asked(tuple(logical_lines(_text(content, name))))
    try:
        document = tomllib.loads(_text(content, name))
    except tomllib.TOMLDecodeError as exc:
        raise PreparationError(f"{name}: not valid TOML: {exc}") from None
    return asked_by_lock(document, name) if path.name == "uv.lock" else asked_by_project(document, name)


def _text(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise PreparationError(f"{name}: not UTF-8 text") from None


def _read_lines(texts: Iterable[str], locate: Callable[[str], str]) -> tuple[RequirementLine, ...]:
    return tuple(line for text in texts if (line := read_line(text, locate)) is not None)


def _locator(*folders: Path) -> Callable[[str], str]:
    """Returns what finds a relative path in the first of `folders` that has it."""

    def locate(path: str) -> str:
        candidates = [os.path.normpath(folder / path) for folder in folders]
        return next((candidate for candidate in candidates if os.path.exists(candidate)), candidates[0])

    return locate


def _digests(lines: Iterable[RequirementLine], depth: int = 0) -> Iterator[str]:
    for line in lines:
        if line.path is None:
            continue
        path = Path(line.path)
        if path.is_dir():
            yield _tree_digest(path)
            continue
        content = _content(path, line.shown)
        yield hashlib.sha256(content).hexdigest()
        if line.is_option:
            if depth == NESTING_MAX:
                raise PreparationError(f"{line.shown}: more than {NESTING_MAX} requirements files name one another")
            nested = _read_lines(logical_lines(_text(content, line.shown)), _locator(path.parent))
            yield from _digests([inner for inner in nested if inner.is_option or _exists(inner)], depth + 1)


def _exists(line: RequirementLine) -> bool:
    # Installers do not agree on what a path in a nested file is relative to; one that is not there tells its own error.
    return line.path is not None and os.path.exists(line.path)


def _content(path: Path, name: str) -> bytes:
    try:
        if path.stat().st_size > FILE_BYTES_MAX and path.suffix in (".txt", ".toml", ".lock", ".in"):
            raise PreparationError(f"{name}: has more than {FILE_BYTES_MAX} bytes")
        return path.read_bytes()
    except FileNotFoundError:
        raise PreparationError(f"{name}: there is no file {path}") from None
    except OSError as exc:
        raise PreparationError(f"{name}: cannot be read: {exc.strerror or exc} ({path})") from None


def _tree_digest(folder: Path) -> str:
    paths: list[Path] = []
    for place, names, leaves in os.walk(folder):
        names[:] = sorted(name for name in names if name not in LEFT_OUT and not name.endswith(".egg-info"))
        paths += [Path(place) / leaf for leaf in sorted(leaves) if not leaf.endswith(".pyc")]
    digest = hashlib.sha256()
    by_content = len(paths) <= TREE_FILES_MAX
    for path in paths:
        digest.update(os.fsencode(path.relative_to(folder)) + b"\0")
        try:
            if by_content:
                with path.open("rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
            else:
                found = path.stat()
                digest.update(f"{found.st_size} {found.st_mtime_ns}".encode())
        except OSError:
            # A link to nowhere, or a file that went away: its name is all there is.
            continue
    return digest.hexdigest()
