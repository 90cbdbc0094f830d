"""Which files are left out of a packed directory: the patterns of .gitignore, with their meaning there. Pure.

The last pattern that matches decides. A file in an ignored folder stays ignored, whatever else matches it; who walks
the tree does not look into such a folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

IGNORE_FILES = (".truss_ignore", ".trussignore")
"""The first of them that exists counts."""

ALWAYS_IGNORED = (".git", "__pycache__", ".venv", "node_modules", "*.pyc")
"""Patterns that stand before those of the file, which may take them back with `!`."""


@dataclass(frozen=True, slots=True)
class _Pattern:
    regex: re.Pattern[str]
    takes_back: bool
    folders_only: bool


class IgnoreRules:
    """The patterns of one directory."""

    def __init__(self, lines: Iterable[str] = ()) -> None:
        """
        Args:
            lines: Of an ignore file. A line that cannot be understood matches nothing, as with git.
        """
        parsed = (_parse(line) for line in (*ALWAYS_IGNORED, *lines))
        # The last match counts, so the last pattern is asked first.
        self._patterns = [pattern for pattern in parsed if pattern is not None][::-1]

    def ignores(self, path: str, *, is_folder: bool) -> bool:
        """Tells whether `path`, relative to the directory and with "/" between names, is left out.

        A path below an ignored folder must not be asked for.
        """
        for pattern in self._patterns:
            if (is_folder or not pattern.folders_only) and pattern.regex.fullmatch(path):
                return not pattern.takes_back
        return False


def _parse(line: str) -> _Pattern | None:
    text = line.rstrip("\r\n")
    # Spaces at the end count only behind a backslash.
    while text.endswith(" ") and not _ends_escaped(text[:-1]):
        text = text[:-1]
    if not text or text.startswith("#"):
        return None
    takes_back = text.startswith("!")
    if takes_back:
        text = text[1:]
    folders_only = text.endswith("/")
    text = text.removesuffix("/")
    # A slash that is not at the end ties the pattern to the directory itself.
    is_anchored = "/" in text
    text = text.removeprefix("/")
    if not text:
        return None
    try:
        regex = re.compile(("" if is_anchored else "(?:.*/)?") + _regex(text), re.DOTALL)
    except re.error:
        return None
    return _Pattern(regex, takes_back, folders_only)


def _ends_escaped(text: str) -> bool:
    return (len(text) - len(text.rstrip("\\"))) % 2 == 1


def _regex(pattern: str) -> str:
    """Translates a pattern. Raises re.error for one that ends in the middle of something."""
    parts: list[str] = []
    i = 0
    while i < len(pattern):
        char = pattern[i]
        at_start = i == 0 or pattern[i - 1] == "/"
        if char == "*" and at_start and (pattern[i:] == "**" or pattern.startswith("**/", i)):
            # "**/" stands for any number of folders, a final "**" for everything below.
            parts.append("(?:.*/)?" if pattern.startswith("**/", i) else ".+")
            i += 3
        elif char == "*":
            while i < len(pattern) and pattern[i] == "*":
                i += 1
            parts.append("[^/]*")
        elif char == "?":
            parts.append("[^/]")
            i += 1
        elif char == "[":
            text, i = _set(pattern, i)
            parts.append(text)
        else:
            if char == "\\":
                i += 1
                if i == len(pattern):
                    raise re.error("a backslash at the end")
            parts.append(re.escape(pattern[i]))
            i += 1
    return "".join(parts)


_CLASSES = {
    "alpha": "A-Za-z",
    "digit": "0-9",
    "alnum": "A-Za-z0-9",
    "upper": "A-Z",
    "lower": "a-z",
    "space": r"\s",
    "xdigit": "0-9A-Fa-f",
}


def _set(pattern: str, start: int) -> tuple[str, int]:
    """Translates "[...]" at `start`. Returns the text, and where the pattern goes on."""
    i = start + 1
    negated = pattern[i : i + 1] in ("!", "^") and i < len(pattern)
    i += negated
    inner: list[str] = []
    while i < len(pattern) and (pattern[i] != "]" or not inner):
        if pattern.startswith("[:", i) and (end := pattern.find(":]", i)) > 0:
            inner.append(_CLASSES.get(pattern[i + 2 : end], ""))
            i = end + 2
            continue
        if pattern[i] == "\\" and i + 1 < len(pattern):
            i += 1
            inner.append(re.escape(pattern[i]))
        else:
            is_range = pattern[i] == "-" and inner and pattern[i + 1 : i + 2] not in ("]", "")
            inner.append("-" if is_range else re.escape(pattern[i]))
        i += 1
    if i == len(pattern):
        raise re.error("a set without an end")
    return f"(?!/)[{'^' if negated else ''}{''.join(inner)}]", i + 1
