"""What is wrong with a chainlet class, and where. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field, replace


class ProblemKind(enum.Enum):
    """Kinds of problems, as they are written in reports."""

    TYPE_ERROR = "TYPE_ERROR"
    IO_TYPE_ERROR = "IO_TYPE_ERROR"
    MISSING_API_ERROR = "MISSING_API_ERROR"
    INVALID_CONFIG_ERROR = "INVALID_CONFIG_ERROR"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a problem is."""

    path: str
    line: int | None = None
    chainlet: str | None = None
    method: str | None = None

    def in_method(self, method: str, *, path: str | None = None, line: int | None = None) -> Place:
        """Returns a place in a method; the file and the line stay those of the class where None."""
        return replace(
            self,
            method=method,
            path=self.path if path is None else path,
            line=self.line if line is None else line,
        )

    def __str__(self) -> str:
        place = self.path if self.line is None else f"{self.path}:{self.line}"
        if self.chainlet and self.method:
            return f"{place} ({self.chainlet}.{self.method})"
        return f"{place} ({self.chainlet})" if self.chainlet else place


@dataclass(frozen=True, slots=True)
class Problem:
    """One broken rule."""

    text: str
    kind: ProblemKind
    place: Place
    hint: str = ""
    """Text that helps with every problem of its sort; a report has it once, at its end."""

    def __str__(self) -> str:
        return f"{self.place} [kind: {self.kind.value}]: {self.text}"


@dataclass(slots=True)
class Problems:
    """Collects what is wrong with one class."""

    found: list[Problem] = field(default_factory=list)

    def add(self, text: str, kind: ProblemKind, place: Place, *, hint: str = "") -> None:
        """Notes one."""
        self.found.append(Problem(text, kind, place, hint))


def report(problems: Iterable[Problem]) -> str:
    """Returns the text of an error that names every problem, one after the other."""
    listed = list(problems)
    hints = dict.fromkeys(problem.hint for problem in listed if problem.hint)
    head = "The user defined code does not comply with the required spec, please fix below:"
    return "\n".join([head, *map(str, listed), *hints])
