from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from penstock.logs import configure_logs


def run(code: str, fmt: str = "json", level: str = "info") -> str:
    """Runs `code` after configure_logs in a process of its own (logging is global), and returns its stderr."""
    script = (
        "import logging, structlog\n"
        f"from penstock.logs import configure_logs\nconfigure_logs('edge', {fmt!r}, {level!r})\n{code}"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    return done.stderr


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_json_line_has_timestamp_level_event_component_and_keys() -> None:
    (line,) = lines(run("structlog.get_logger('edge').info('stream_opened', stream_id=7)"))
    timestamp = line.pop("timestamp")
    assert timestamp.endswith("Z")
    assert line == {"level": "info", "event": "stream_opened", "component": "edge", "stream_id": 7}


def test_lines_below_the_level_are_dropped() -> None:
    assert run("structlog.get_logger('edge').info('x'); logging.getLogger('lib').info('y')", level="warning") == ""


def test_records_of_the_standard_library_are_json_too_and_carry_their_logger() -> None:
    (line,) = lines(run("logging.getLogger('some.library').warning('slow by %d', 3, extra={'shard': 2})"))
    assert line["event"] == "slow by 3"
    assert line["logger"] == "some.library"
    assert line["shard"] == 2
    assert line["component"] == "edge"
    assert line["level"] == "warning"


def test_second_message_of_uvicorn_with_colours_is_left_out() -> None:
    code = "logging.getLogger('uvicorn.error').info('up', extra={'color_message': '\\x1b[1mup\\x1b[0m'})"
    (line,) = lines(run(code))
    assert line["event"] == "up"
    assert "color_message" not in line


def test_exception_is_one_line_with_the_traceback() -> None:
    code = "try:\n    1 / 0\nexcept ZeroDivisionError:\n    structlog.get_logger('edge').exception('it_failed')"
    (line,) = lines(run(code))
    assert "ZeroDivisionError" in line["exception"]


def test_value_that_json_cannot_hold_does_not_cost_the_line() -> None:
    (line,) = lines(run("structlog.get_logger('edge').info('x', what={1, 2}, blob=b'a')"))
    assert line["what"] == "{1, 2}"


def test_text_is_for_people() -> None:
    text = run("structlog.get_logger('edge').info('stream_opened', stream_id=7)", fmt="text")
    assert "stream_opened" in text
    assert "stream_id=7" in text
    assert not text.startswith("{")


def test_unknown_format_or_level_is_an_error() -> None:
    with pytest.raises(ValueError, match="json, text"):
        configure_logs("edge", "xml")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="debug, info"):
        configure_logs("edge", "json", "loud")
