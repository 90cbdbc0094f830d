"""What a line of the interactive prompt asks for. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass

HELP = """\
A line is sent as a text message. What begins with / is a command:
  /json TEXT            send TEXT, checked to be JSON
  /binary FILE          send a file as a binary message
  /close [CODE] [WHY]   end the stream: 1000, or 3000 to 4999
  /help                 this text
  //TEXT                send TEXT with one / in front
Ctrl-D ends the stream with 1000."""


@dataclass(frozen=True, slots=True)
class SendText:
    """Send a text message."""

    text: str


@dataclass(frozen=True, slots=True)
class SendFile:
    """Send a file as a binary message."""

    path: str


@dataclass(frozen=True, slots=True)
class CloseStream:
    """End the stream."""

    code: int = 1000
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Tell:
    """Nothing for the model; show a text to the user."""

    text: str


def read_prompt_line(line: str) -> SendText | SendFile | CloseStream | Tell:
    """Returns what the line asks for; a slip is a text that says what is wrong."""
    if not line.startswith("/"):
        return SendText(line)
    if line.startswith("//"):
        return SendText(line[1:])
    command, _, rest = line[1:].partition(" ")
    rest = rest.strip()
    match command:
        case "json":
            return _json(rest)
        case "binary":
            return SendFile(rest) if rest else Tell("/binary needs the name of a file")
        case "close":
            return _close(rest)
        case "help" | "?":
            return Tell(HELP)
        case _:
            return Tell(f"/{command} is no command; /help lists them, //{command} sends it as a message")


def _json(text: str) -> SendText | Tell:
    try:
        json.loads(text)
    except ValueError as exc:
        return Tell(f"not sent, it is not JSON: {exc}")
    return SendText(text)


def _close(text: str) -> CloseStream | Tell:
    code, _, reason = text.partition(" ")
    if not code:
        return CloseStream()
    if not (code.isascii() and code.isdigit()) or (int(code) != 1000 and not 3000 <= int(code) <= 4999):
        return Tell(f"a client may close with 1000 or 3000 to 4999, not {code}")
    if len(reason.encode()) > 123:
        return Tell("a reason has at most 123 bytes")
    return CloseStream(int(code), reason.strip())
