"""Logs of Penstock's processes: structlog to stderr, as JSON lines or as text for people.

Events have static names, ids are keys, and payloads are never logged. Records of the standard library's `logging` (of
libraries, and of the user's model) take the same way out and carry the key `logger`, which tells them from ours.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Literal, cast

import structlog

LogFormat = Literal["json", "text"]
LOG_FORMATS: tuple[LogFormat, ...] = ("json", "text")
LOG_LEVELS = ("debug", "info", "warning", "error")


def configure_logs(component: str, fmt: LogFormat, level: str = "info") -> None:
    """Sends all logs of this process to stderr; `component` becomes a key of every line.

    Raises:
        ValueError: `fmt` or `level` is none of LOG_FORMATS or LOG_LEVELS.
    """
    if fmt not in LOG_FORMATS:
        raise ValueError(f"log format must be one of {', '.join(LOG_FORMATS)}, got {fmt!r}")
    if level not in LOG_LEVELS:
        raise ValueError(f"log level must be one of {', '.join(LOG_LEVELS)}, got {level!r}")
    threshold = getattr(logging, level.upper())

    def add_component(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event.setdefault("component", component)
        return event

    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_component,
    ]
    foreign: list[structlog.typing.Processor] = [
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        _drop_color_message,
    ]
    renderers: list[structlog.typing.Processor]
    if fmt == "json":
        renderers = [
            structlog.processors.format_exc_info,
            # A value that JSON cannot hold must not cost the line.
            structlog.processors.JSONRenderer(default=repr, ensure_ascii=False),
        ]
    else:
        renderers = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]

    structlog.configure(
        processors=[*shared, *renderers],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=cast(Any, structlog.PrintLoggerFactory(sys.stderr)),
        cache_logger_on_first_use=True,
    )

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, *foreign],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(threshold)


def _drop_color_message(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """uvicorn adds its message once more, with escape sequences for colours."""
    event.pop("color_message", None)
    return event
