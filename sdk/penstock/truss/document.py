"""A YAML text as nodes (for the places of problems) and as plain values (for their content)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml

from penstock.truss.errors import ConfigError, Problem


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed YAML file whose top level is a mapping."""

    file: str
    node: yaml.MappingNode | None
    """None when the file is empty or holds only comments."""
    data: dict[Any, Any]
    duplicates: tuple[Problem, ...]
    """Keys that stand twice in one mapping; YAML keeps the last."""


def parse_document(content: bytes, file: str) -> Document:
    """Parses `content`.

    Raises:
        ConfigError: It is not YAML in UTF-8, or its top level is not a mapping; with line and column.
    """
    loader = _Loader(_decode(content, file))
    try:
        node = loader.get_single_node()
        duplicates = _duplicates(node, file)
        data = None if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        message = f"not valid YAML: {exc.problem or exc.context or 'unknown error'}"
        if exc.context and exc.problem:
            message += f" ({exc.context})"
        if "'\\t'" in message:
            message += "; indent with spaces, YAML allows no tabs here"
        raise ConfigError([_problem(file, mark, message)]) from None
    except RecursionError:
        raise ConfigError([Problem(file, None, None, "", "not valid YAML: nested too deeply")]) from None
    finally:
        loader.dispose()
    if data is None:
        return Document(file, None, {}, ())
    if not isinstance(node, yaml.MappingNode) or not isinstance(data, dict):
        raise ConfigError(
            [_problem(file, node.start_mark if node else None, f"must hold `key: value` pairs, got {describe(data)}")]
        )
    return Document(file, node, data, duplicates)


def describe(value: object) -> str:
    """Names a value as a user wrote it: its kind for containers, kind and text for scalars."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return f"text {_clip(value)!r}"
        case int() | float():
            return f"number {_clip(_digits(value))}"
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case _:
            return _clip(f"{type(value).__name__} {value}")


def _digits(number: float) -> str:
    try:
        return str(number)
    except ValueError:
        # Python writes no whole number of more than 4300 digits.
        return hex(int(number))


def _clip(text: str, length_max: int = 80) -> str:
    return text if len(text) <= length_max else text[: length_max - 1] + "…"


class _Loader(yaml.SafeLoader):
    """SafeLoader whose every error carries a mark, and whose texts can all be written as UTF-8."""

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        value = super().construct_scalar(node)
        # An escape such as "\ud800" gives half of a character.
        if isinstance(value, str) and any("\ud800" <= char <= "\udfff" for char in value):
            raise yaml.constructor.ConstructorError(
                None, None, "an escape gives half of a character, a surrogate", node.start_mark
            )
        return value

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, OverflowError) as exc:
            # PyYAML lets the errors of int() and datetime() through as they are, for example for 2024-13-45.
            raise yaml.constructor.ConstructorError(None, None, str(exc), node.start_mark) from None


def _decode(content: bytes, file: str) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        before = content[: exc.start]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
        raise ConfigError([Problem(file, line, column, "", "not valid YAML: not UTF-8")]) from None
    try:
        # Only this check of the reader tells no line; the rest of parsing does.
        yaml.reader.Reader(text)
    except yaml.reader.ReaderError as exc:
        before_text = text[: exc.position]
        line = before_text.count("\n") + 1
        column = exc.position - (before_text.rfind("\n") + 1) + 1
        message = f"not valid YAML: control character U+{_code_point(exc.character):04X} is not allowed"
        raise ConfigError([Problem(file, line, column, "", message)]) from None
    return text


def _code_point(character: object) -> int:
    return character if isinstance(character, int) else ord(str(character)[:1] or "\0")


def _problem(file: str, mark: Any, message: str) -> Problem:
    if mark is None:
        return Problem(file, None, None, "", message)
    return Problem(file, mark.line + 1, mark.column + 1, "", message)


def _duplicates(root: yaml.Node | None, file: str) -> tuple[Problem, ...]:
    found: list[Problem] = []
    seen_nodes: set[int] = set()
    waiting: list[tuple[yaml.Node, str]] = [] if root is None else [(root, "")]
    while waiting:
        node, path = waiting.pop()
        # An alias leads to a node that was met before, possibly to one that contains it.
        if id(node) in seen_nodes:
            continue
        seen_nodes.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting.extend((item, f"{path}[{index}]") for index, item in enumerate(node.value))
        elif isinstance(node, yaml.MappingNode):
            lines: dict[tuple[str, str], int] = {}
            for key, value in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    waiting.append((value, path))
                    continue
                dotted = f"{path}.{key.value}" if path else str(key.value)
                waiting.append((value, dotted))
                if key.tag == "tag:yaml.org,2002:merge":
                    continue
                # The number 1 and the text "1" are two keys.
                identity = (key.tag, key.value)
                mark = key.start_mark
                if identity in lines:
                    message = f"stands twice; the one in line {lines[identity]} is ignored"
                    found.append(Problem(file, mark.line + 1, mark.column + 1, dotted, message))
                lines[identity] = mark.line + 1
    return tuple(sorted(found, key=lambda problem: (problem.line or 0, problem.column or 0)))
