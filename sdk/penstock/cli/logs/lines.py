"""Lines of logs for people. Pure."""

from __future__ import annotations

import json
from typing import Any

_FIRST_KEYS = ("timestamp", "level", "event")
_HIDDEN_KEYS = frozenset({*_FIRST_KEYS, "component", "exception", "traceback"})


def readable(line: str) -> str:
    """Makes `time LEVEL event key=value` of a JSON record, with its traceback below; any other line stays as it is."""
    record = _record(line)
    if record is None:
        return line
    first = [str(record.get("timestamp", "")), str(record.get("level", "info")).upper(), str(record["event"])]
    keys = [f"{key}={_value(value)}" for key, value in record.items() if key not in _HIDDEN_KEYS]
    text = " ".join(part for part in (*first, *keys) if part)
    if traceback := record.get("traceback") or record.get("exception"):
        text += f"\n{str(traceback).rstrip()}"
    return text


class Labels:
    """Puts the origin before each line, once there are several origins.

    Args:
        are_several: It is known from the beginning.
    """

    def __init__(self, *, are_several: bool = False) -> None:
        self._are_several = are_several
        self._seen: set[str] = set()

    def put(self, origin: str, text: str) -> str:
        """Returns `text` as it is to be shown."""
        self._seen.add(origin)
        self._are_several = self._are_several or len(self._seen) > 1
        if not self._are_several:
            return text
        # The part of a replica's id that tells replicas of one deployment apart.
        short = origin.rpartition("-")[2]
        return "\n".join(f"{short} | {part}" for part in text.split("\n"))


def _record(line: str) -> dict[str, Any] | None:
    if not line.startswith("{"):
        return None
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and "event" in record else None


def _value(value: object) -> str:
    return value if isinstance(value, str) and " " not in value and value else json.dumps(value, ensure_ascii=False)
