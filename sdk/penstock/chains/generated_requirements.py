"""What a chainlet wants installed, as its generated Truss says it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from penstock.chains.errors import ChainsUsageError
from penstock.chains.workspace import SourceFile, Tree

FILE_NAME = "pip_requirements.txt"
FILE_BYTES_MAX = 4 * 1024 * 1024
NESTING_MAX = 10
"""Files that name one another; a cycle ends here."""
PROJECT_FILES = ("pyproject.toml", "uv.lock")

_INCLUDE = re.compile(r"(?:-r\s*|--requirement(?:\s+|\s*=\s*))(\S+)")
_CONSTRAINT = re.compile(r"(?:-c\s*|--constraint(?:\s+|\s*=\s*))(\S+)")
_TRUSS = re.compile(r"truss(?:[-_]chains)?\s*(?:$|[\[=<>!~;@#,])|git\+\S*basetenlabs/truss\b", re.IGNORECASE)
"""Lines that install Truss itself."""


@dataclass(frozen=True, slots=True)
class WantedPackages:
    """Requirements of one chainlet."""

    lines: tuple[str, ...] = ()
    """For `requirements` of config.yaml; empty when `file` is set."""
    file: str | None = None
    """For `requirements_file`."""
    files: Tree | None = None
    """That stand beside config.yaml."""
    warnings: tuple[str, ...] = ()


def wanted_packages(lines: Sequence[str], files: Sequence[Path]) -> WantedPackages:
    """Joins requirements and files of requirements.

    Files named by `-r` are taken in and those named by `-c` copied, as they lie elsewhere later. Lines that install
    Truss are left out: it would hide this platform's own chains.

    Raises:
        ChainsUsageError: A file cannot be read, or stands beside others although it cannot.
    """
    project = [file for file in files if file.name in PROJECT_FILES]
    if project:
        return _project(lines, files)
    reading = _Reading()
    kept = [*reading.lines(lines, Path()), *(line for file in files for line in reading.file(file, depth=0))]
    if not files and not reading.constraints:
        return WantedPackages(tuple(kept), warnings=tuple(reading.warnings))
    content = "".join(f"{line}\n" for line in kept)
    tree: Tree = {FILE_NAME: SourceFile(content.encode()), **reading.constraints}
    return WantedPackages(file=FILE_NAME, files=tree, warnings=tuple(reading.warnings))


def left_out(line: str) -> str:
    """Returns why a requirement is not taken over; empty for one that is."""
    if not _TRUSS.match(line.strip()):
        return ""
    return f"the requirement {line.strip()!r} is left out: chains run on Penstock's own implementation"


def _project(lines: Sequence[str], files: Sequence[Path]) -> WantedPackages:
    file = files[0]
    if len(files) > 1 or lines:
        raise ChainsUsageError(
            f"{file.name} cannot be combined with `pip_requirements` or another file of requirements; write all of "
            f"them into {file.name}"
        )
    tree: Tree = {file.name: SourceFile(_read(file))}
    other = file.with_name(PROJECT_FILES[0])
    if other != file and other.is_file():
        tree[other.name] = SourceFile(_read(other))
    return WantedPackages(file=file.name, files=tree)


class _Reading:
    def __init__(self) -> None:
        self.constraints: Tree = {}
        self.warnings: list[str] = []

    def file(self, path: Path, *, depth: int) -> Iterator[str]:
        if depth == NESTING_MAX:
            raise ChainsUsageError(f"{path}: more than {NESTING_MAX} files of requirements name one another")
        try:
            text = _read(path).decode("utf-8-sig")
        except UnicodeDecodeError:
            raise ChainsUsageError(f"{path}: not UTF-8 text") from None
        yield from self.lines(text.splitlines(), path.parent, depth)

    def lines(self, lines: Iterable[str], folder: Path, depth: int = 0) -> Iterator[str]:
        for raw in lines:
            line = raw.strip()
            if not line or line.startswith("#"):
                continue
            if found := _INCLUDE.match(line):
                yield from self.file(folder / found[1], depth=depth + 1)
            elif found := _CONSTRAINT.match(line):
                name = f"constraints_{len(self.constraints)}.txt"
                self.constraints[name] = SourceFile(_read(folder / found[1]))
                yield f"-c {name}"
            elif warning := left_out(line):
                self.warnings.append(warning)
            else:
                yield line


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise ChainsUsageError(f"{path}: has more than {FILE_BYTES_MAX} bytes")
        return path.read_bytes()
    except OSError as exc:
        raise ChainsUsageError(f"the file of requirements {path} cannot be read: {exc.strerror}") from None
