"""Typed reading of one YAML mapping: each method reads one key, and notes a problem instead of raising."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from penstock.truss.document import Document, describe
from penstock.truss.errors import Problem

HINTED_KEYS_MAX = 30
"""A section with more known keys than this does not list them all in a warning."""

UNKNOWN_WARNINGS_MAX = 50
"""A section with more unknown keys than this has its other ones counted in one warning."""


class Section:
    """One mapping of the file, which may be absent.

    A key that is absent or null has its default. A bad value is noted in `problems` and read as the default, so that
    one pass finds every problem. All sections of one file share the two lists and the set of keys that were asked for.
    """

    def __init__(
        self,
        file: str,
        node: yaml.MappingNode | None,
        data: Mapping[Any, Any],
        path: str,
        problems: list[Problem],
        warnings: list[Problem],
        known: set[str],
    ) -> None:
        self._file = file
        self._node = node
        self._data = data
        self._path = path
        self._problems = problems
        self._warnings = warnings
        self._known = known
        self._asked: set[str] = set()

    @classmethod
    def top(
        cls, document: Document, problems: list[Problem], warnings: list[Problem], known: set[str] | None = None
    ) -> Section:
        """Returns the whole file as a section; `known` collects the dotted paths of all keys that are asked for."""
        known = set() if known is None else known
        return cls(document.file, document.node, document.data, "", problems, warnings, known)

    def has(self, key: str) -> bool:
        """Whether the key stands there with a value other than null."""
        return self._data.get(key) is not None

    def peek(self, key: str) -> object:
        """Returns the value as it stands; None when absent."""
        return self._data.get(key)

    def refuse(self, key: str, message: str) -> None:
        """Notes a problem at the value of `key`, or at the key's section when it is absent."""
        self._problems.append(self._at(key, message))

    def warn(self, key: str, message: str) -> None:
        self._warnings.append(self._at(key, message))

    def value(self, key: str) -> Any:
        """Reads a value of any type; None when absent."""
        if key not in self._asked:
            self._asked.add(key)
            self._known.add(self._dotted(key))
        return self._data.get(key)

    def section(self, key: str) -> Section:
        value = self.value(key)
        if value is not None and not isinstance(value, dict):
            self.refuse(key, f"must be a mapping, got {describe(value)}")
            value = None
        return self._inner(self._node_of(key), value or {}, key)

    def sections(self, key: str) -> list[Section]:
        """Reads a list of mappings; paths of their keys read like `weights[0].source`."""
        found = []
        for index, (item, node) in enumerate(self._items(key, "mappings")):
            if isinstance(item, dict):
                found.append(self._inner(node, item, f"{key}[{index}]"))
            else:
                self._problems.append(
                    self._at_node(node, f"{key}[{index}]", f"must be a mapping, got {describe(item)}")
                )
        return found

    def mapping(self, key: str) -> dict[Any, Any]:
        """Reads a mapping whose keys are the user's own."""
        value = self.value(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.refuse(key, f"must be a mapping, got {describe(value)}")
            return {}
        return value

    def text(self, key: str, default: str) -> str:
        value = self._text(key)
        if value is None:
            return default
        if not value.strip():
            self.refuse(key, "must not be empty")
            return default
        return value

    def optional_text(self, key: str) -> str | None:
        """Reads a text; null and the empty text mean that there is none."""
        value = self._text(key)
        return value if value and value.strip() else None

    def required_text(self, key: str) -> str:
        """Reads a text that must be there; the empty text stands for a refused one."""
        if self.value(key) is None:
            self.refuse(key, "is missing")
            return ""
        return self.text(key, "")

    def choice(self, key: str, default: str, choices: Sequence[str]) -> str:
        value = self.value(key)
        if value is None:
            return default
        if not isinstance(value, str) or value not in choices:
            self.refuse(
                key, f"must be {'one of ' if len(choices) > 1 else ''}{', '.join(choices)}, got {describe(value)}"
            )
            return default
        return value

    def boolean(self, key: str, default: bool) -> bool:
        value = self.value(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.refuse(key, f"must be true or false, got {describe(value)}")
            return default
        return value

    def integer(self, key: str, default: int, *, low: int, high: int) -> int:
        value = self.optional_integer(key, low=low, high=high)
        return default if value is None else value

    def optional_integer(self, key: str, *, low: int, high: int) -> int | None:
        value = self.value(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            allowed = f"a whole number from {low} to {high}" if low < high else str(low)
            self.refuse(key, f"must be {allowed}, got {describe(value)}")
            return None
        return value

    def required_integer(self, key: str, *, low: int, high: int) -> int:
        """Reads a number that must be there; `low` stands for a refused one."""
        if self.value(key) is None:
            self.refuse(key, f"is missing; it must be a whole number from {low} to {high}")
        return self.integer(key, low, low=low, high=high)

    def seconds(self, key: str, default: float | None, *, low: float, high: float) -> float | None:
        value = self.value(key)
        if value is None:
            return default
        # Neither infinity nor NaN lies between two finite numbers.
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            self.refuse(key, f"must be a number of seconds from {low:g} to {high:g}, got {describe(value)}")
            return default
        return float(value)

    def texts(self, key: str) -> tuple[str, ...]:
        found = []
        for index, (item, node) in enumerate(self._items(key, "texts")):
            if isinstance(item, str) and item.strip():
                found.append(item)
            else:
                self._problems.append(self._at_node(node, f"{key}[{index}]", f"must be text, got {describe(item)}"))
        return tuple(found)

    def scalars(self, key: str) -> dict[str, str | None]:
        """Reads a mapping of names to scalars; numbers become text, true and false lower case, null stays None."""
        value = self.value(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.refuse(key, f"must be a mapping of names to values, got {describe(value)}")
            return {}
        inner = self.inside(key)
        result: dict[str, str | None] = {}
        for name, item in value.items():
            if not isinstance(name, str) or not name:
                self.refuse(key, f"names must be text, got {describe(name)}")
            elif isinstance(item, (dict, list)):
                inner.refuse(name, f"must be text, a number, true or false, got {describe(item)}")
            elif isinstance(item, bool):
                result[name] = "true" if item else "false"
            else:
                try:
                    result[name] = None if item is None else str(item)
                except ValueError:
                    # Python writes no whole number of more than 4300 digits.
                    inner.refuse(name, f"must be text or a number of moderate length, got {describe(item)}")
        return result

    def inside(self, key: str) -> Section:
        """Returns the mapping at `key` for refuse and warn, where the names in it are the user's own."""
        value = self._data.get(key)
        return self._inner(self._node_of(key), value if isinstance(value, dict) else {}, key)

    def path(self, key: str, default: str) -> str:
        """Reads a path that must stay inside the Truss directory."""
        return self._contained(key, self.text(key, default), "the Truss directory") or default

    def optional_path(self, key: str, place: str) -> str | None:
        """Reads a path that must stay inside `place`, the name of a folder; null and the empty text mean none."""
        return self._contained(key, self.optional_text(key), place)

    def required_path(self, key: str, place: str) -> str:
        """Reads a path that must be there and stay inside `place`; the empty text stands for a refused one."""
        return self._contained(key, self.required_text(key), place) or ""

    def warn_unknown(self) -> None:
        """Warns of every key that nobody has asked for; call it last."""
        known = sorted(self._asked)
        unknown = [key for key in self._data if key not in self._asked]
        for key in unknown[:UNKNOWN_WARNINGS_MAX]:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"; did you mean `{near[0]}`?" if near else ""
            if not near and len(known) <= HINTED_KEYS_MAX:
                hint = f"; known keys: {', '.join(known)}"
            self.warn(str(key), f"is not known and has no effect{hint}")
        rest = unknown[UNKNOWN_WARNINGS_MAX:]
        if rest:
            self.warn(str(rest[0]), f"is not known and has no effect, nor have {len(rest) - 1} more keys")

    def _text(self, key: str) -> str | None:
        value = self.value(key)
        if value is not None and not isinstance(value, str):
            self.refuse(key, f"must be text, got {describe(value)}")
            return None
        return value

    def _items(self, key: str, what: str) -> list[tuple[Any, yaml.Node | None]]:
        value = self.value(key)
        if value is None:
            return []
        if not isinstance(value, list):
            self.refuse(key, f"must be a list of {what}, got {describe(value)}")
            return []
        node = self._node_of(key)
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node] * len(value)
        return list(zip(value, nodes, strict=True))

    def _contained(self, key: str, value: str | None, place: str) -> str | None:
        if value and (value.startswith("/") or ".." in value.split("/") or "\0" in value):
            self.refuse(key, f"must be a path inside {place}, got {describe(value)}")
            return None
        return value

    def _inner(self, node: yaml.Node | None, data: Mapping[Any, Any], key: str) -> Section:
        mapping = node if isinstance(node, yaml.MappingNode) else None
        return Section(self._file, mapping, data, self._dotted(key), self._problems, self._warnings, self._known)

    def _at(self, key: str, message: str) -> Problem:
        return self._at_node(self._node_of(key), key, message)

    def _at_node(self, node: yaml.Node | None, key: str, message: str) -> Problem:
        node = node or self._node
        if node is None:
            return Problem(self._file, 1, 1, self._dotted(key), message)
        mark = node.start_mark
        return Problem(self._file, mark.line + 1, mark.column + 1, self._dotted(key), message)

    def _node_of(self, key: str) -> yaml.Node | None:
        found: yaml.Node | None = None
        # The last one counts, as in YAML's own construction. Merged keys were put in front by the constructor.
        for key_node, value_node in self._node.value if self._node is not None else ():
            if isinstance(key_node, yaml.ScalarNode) and key_node.value == key:
                found = value_node
        return found

    def _dotted(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key
