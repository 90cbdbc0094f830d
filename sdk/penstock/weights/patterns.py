"""Which files of a source are wanted: `allow_patterns` and `ignore_patterns`."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True, slots=True)
class Patterns:
    """Shell patterns over whole paths ("*" also matches "/", as on the Hugging Face Hub); "dir/" means all below it."""

    allow: tuple[str, ...] = ()
    """Empty allows every file."""
    ignore: tuple[str, ...] = ()
    """Goes before `allow`."""

    def wants(self, name: str) -> bool:
        """Whether the file at `name` (relative, with "/") is to be fetched."""
        if any(_matches(name, pattern) for pattern in self.ignore):
            return False
        return not self.allow or any(_matches(name, pattern) for pattern in self.allow)

    @property
    def select(self) -> bool:
        """Whether there is any pattern."""
        return bool(self.allow or self.ignore)

    def __str__(self) -> str:
        if not self.select:
            return "no patterns"
        return f"allow_patterns {list(self.allow)}, ignore_patterns {list(self.ignore)}"


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, f"{pattern}*" if pattern.endswith("/") else pattern)
