"""Typed reading of one YAML mapping: each method reads one key, and notes a problem instead of raising."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from penstock.truss.document import Document, describe
from penstock.truss.errors import Problem


class Section:
    """One mapping of the file, which may be absent.

    A key that is absent or null has its default. A bad value is noted in `problems` and read as the default, so that
    one pass finds every problem. All sections of one file share the two lists.
    """

    def __init__(
        self,
        file: str,
        node: yaml.MappingNode | None,
        data: Mapping[Any, Any],
        path: str,
        problems: list[Problem],
        warnings: list[Problem],
    ) -> None:
        self._file = file
        self._node = node
        self._data = data
        self._path = path
        self._problems = problems
        self._warnings = warnings
        self._asked: set[str] = set()

    @classmethod
    def top(cls, document: Document, problems: list[Problem], warnings: list[Problem]) -> Section:
        return cls(document.file, document.node, document.data, "", problems, warnings)

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

    def section(self, key: str) -> Section:
        value = self._value(key)
        if value is not None and not isinstance(value, dict):
            self.refuse(key, f"must be a mapping, got {describe(value)}")
            value = None
        node = self._node_of(key)
        mapping = node if isinstance(node, yaml.MappingNode) else None
        return Section(self._file, mapping, value or {}, self._dotted(key), self._problems, self._warnings)

    def text(self, key: str, default: str) -> str:
        value = self._value(key)
        if value is None:
            return default
        if not isinstance(value, str):
            self.refuse(key, f"must be text, got {describe(value)}")
            return default
        if not value.strip():
            self.refuse(key, "must not be empty")
            return default
        return value

    def choice(self, key: str, default: str, choices: Sequence[str]) -> str:
        value = self._value(key)
        if value is None:
            return default
        if value not in choices:
            self.refuse(key, f"must be one of {', '.join(choices)}, got {describe(value)}")
            return default
        return str(value)

    def boolean(self, key: str, default: bool) -> bool:
        value = self._value(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            self.refuse(key, f"must be true or false, got {describe(value)}")
            return default
        return value

    def integer(self, key: str, default: int, *, low: int, high: int) -> int:
        value = self._value(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.refuse(key, f"must be a whole number from {low} to {high}, got {describe(value)}")
            return default
        return value

    def seconds(self, key: str, default: float | None, *, low: float, high: float) -> float | None:
        value = self._value(key)
        if value is None:
            return default
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        if not is_number or not low <= value <= high:
            self.refuse(key, f"must be a number of seconds from {low:g} to {high:g}, got {describe(value)}")
            return default
        return float(value)

    def texts(self, key: str) -> tuple[str, ...]:
        value = self._value(key)
        if value is None:
            return ()
        if not isinstance(value, list):
            self.refuse(key, f"must be a list of texts, got {describe(value)}")
            return ()
        bad = [item for item in value if not isinstance(item, str) or not item.strip()]
        if bad:
            self.refuse(key, f"must be a list of texts, got {describe(bad[0])} in it")
            return ()
        return tuple(value)

    def scalars(self, key: str) -> dict[str, str | None]:
        """Reads a mapping of names to scalars; numbers become text, true and false lower case, null stays None."""
        value = self._value(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.refuse(key, f"must be a mapping of names to values, got {describe(value)}")
            return {}
        inner = self.section(key)
        result: dict[str, str | None] = {}
        for name, item in value.items():
            if not isinstance(name, str) or not name:
                self.refuse(key, f"names must be text, got {describe(name)}")
            elif isinstance(item, (dict, list)):
                inner.refuse(name, f"must be text, a number, true or false, got {describe(item)}")
            elif isinstance(item, bool):
                result[name] = "true" if item else "false"
            else:
                result[name] = None if item is None else str(item)
        return result

    def path(self, key: str, default: str) -> str:
        """Reads a path that must stay inside the Truss directory."""
        value = self.text(key, default)
        if value.startswith("/") or ".." in value.split("/") or "\0" in value:
            self.refuse(key, f"must be a path inside the Truss directory, got {describe(value)}")
            return default
        return value

    def warn_unknown(self) -> None:
        """Warns of every key that nobody has asked for; call it last."""
        for key in self._data:
            if key in self._asked:
                continue
            near = difflib.get_close_matches(str(key), sorted(self._asked), n=1)
            hint = f"; did you mean `{near[0]}`?" if near else f"; known keys: {', '.join(sorted(self._asked))}"
            self.warn(str(key), f"is not known and has no effect{hint}")

    def _value(self, key: str) -> Any:
        self._asked.add(key)
        return self._data.get(key)

    def _at(self, key: str, message: str) -> Problem:
        node = self._node_of(key) or self._node
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
