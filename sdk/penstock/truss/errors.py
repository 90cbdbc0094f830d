"""What is wrong in a config.yaml, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong or doubtful in a file."""

    file: str
    """Name of the file as a user should read it."""
    line: int | None
    """From 1; None when the file as a whole is meant."""
    column: int | None
    """From 1; None when the file as a whole is meant."""
    key: str
    """Dotted path of the key, for example "runtime.transport.kind"; empty when no key is meant."""
    message: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}:{self.column}"
        return f"{place}: {self.key}: {self.message}" if self.key else f"{place}: {self.message}"


class ConfigError(Exception):
    """A Truss directory cannot be used as it is; lists every problem that was found, never only the first."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))
