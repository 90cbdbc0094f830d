"""What is sent: from the command line, a file or standard input."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from penstock.cli import exit_status
from penstock.cli.command_error import CommandError

FILE_BYTES_MAX = 1 << 30
"""A larger file is not sent: it is held in memory, and no deployment takes it."""

READ_BYTES = 64 * 1024

JSON_TYPE = "application/json"
BINARY_TYPE = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Body:
    """The body of a request."""

    content: bytes
    content_type: str


def request_body(data: str | None, file: str | None) -> Body:
    """Returns the body of a request.

    Raises:
        CommandError: There is nothing to send, DATA is not JSON, or the file cannot be read.
    """
    if data is not None:
        _check_json(data)
        return Body(data.encode(), JSON_TYPE)
    if file is None and sys.stdin.isatty():
        raise CommandError("this model answers requests: give DATA (JSON) or --file", exit_status.USAGE)
    content = _read(file or "-")
    return Body(content, JSON_TYPE if _is_json(content) else BINARY_TYPE)


def messages(data: str | None, file: str | None, *, lines: bool) -> Iterator[str | bytes]:
    """Yields what is sent over a WebSocket, one message each. Standard input is read line by line, as it comes.

    Raises:
        CommandError: The file cannot be read.
    """
    if data is not None:
        yield data
    elif file in (None, "-"):
        yield from read_lines(sys.stdin.fileno())
    else:
        assert file is not None, "the case before has taken it"
        content = _text_or_bytes(_read(file))
        if lines and isinstance(content, str):
            yield from content.splitlines()
        else:
            yield content


def read_lines(fd: int) -> Iterator[str]:
    """Yields the lines of a descriptor, without their ends, as soon as each is there."""
    # Not by sys.stdin: a thread that waits in it keeps the interpreter from ending.
    rest = b""
    while part := os.read(fd, READ_BYTES):
        *lines, rest = (rest + part).split(b"\n")
        yield from (line.decode("utf-8", "replace") for line in lines)
    if rest:
        yield rest.decode("utf-8", "replace")


def file_message(path: str) -> bytes:
    """Returns the content of a file as one binary message; raises CommandError as `messages` does."""
    return _read(path)


def _read(name: str) -> bytes:
    try:
        if name == "-":
            content = sys.stdin.buffer.read(FILE_BYTES_MAX + 1)
        else:
            with Path(name).open("rb") as file:
                content = file.read(FILE_BYTES_MAX + 1)
    except OSError as exc:
        raise CommandError(f"cannot read {name}: {exc.strerror}", exit_status.USAGE) from None
    if len(content) > FILE_BYTES_MAX:
        raise CommandError(f"{name} has more than {FILE_BYTES_MAX >> 30} GiB", exit_status.USAGE)
    return content


def _check_json(data: str) -> None:
    try:
        json.loads(data)
    except ValueError as exc:
        raise CommandError(
            f"DATA is not JSON ({exc}); write text as '{json.dumps(data)}', and send other content with --file",
            exit_status.USAGE,
        ) from None


def _is_json(content: bytes) -> bool:
    try:
        json.loads(content)
    except (ValueError, RecursionError):
        return False
    return True


def _text_or_bytes(content: bytes) -> str | bytes:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content
