"""How the response to a request becomes messages of a WebSocket connection. Pure."""

from __future__ import annotations

import codecs
import json
from typing import Any

from penstock.api.trunk.v1 import trunk_pb2
from penstock.close_codes import TABLE, EndCode

END_MARKER = b'{"penstock": "end"}'
"""The text message behind the last item of a streamed result."""

_TEXT_TYPES = frozenset({"application/json", "application/x-ndjson", "application/xml", "application/javascript"})


class ReplyText:
    """Checks that what goes out as a text message is UTF-8, piece by piece.

    Args:
        first: the first piece. When it is no UTF-8, `is_valid` is False, and the whole message goes out as binary.
    """

    __slots__ = ("_decoder", "is_valid")

    def __init__(self, first: bytes, *, is_last: bool = False) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self.is_valid = True
        self.is_valid = self.goes_on(first, is_last=is_last)

    def goes_on(self, piece: bytes, *, is_last: bool = False) -> bool:
        """Returns whether `piece` continues the message well. A binary message takes anything."""
        if not self.is_valid:
            return True
        try:
            self._decoder.decode(piece, is_last)
        except UnicodeDecodeError:
            return False
        return True


def is_text(head: trunk_pb2.ResponseHead) -> bool:
    """Whether the body is text: JSON, XML, or text/* in UTF-8."""
    content_type, _, parameters = _header(head, "content-type").partition(";")
    media_type = content_type.strip().lower()
    charset = parameters.lower().partition("charset=")[2].strip().strip('"').partition(";")[0]
    if charset not in ("", "utf-8", "utf8", "us-ascii"):
        return False
    return media_type.startswith("text/") or media_type in _TEXT_TYPES or media_type.endswith(("+json", "+xml"))


def is_plain(head: trunk_pb2.ResponseHead) -> bool:
    """Whether the body is one result rather than a sequence of items: its length was known when it began."""
    return not head.body_follows or _header(head, "content-length").isdigit()


def error_message(status: int, error: str | bytes, code: EndCode | None = None) -> bytes:
    """Returns the text message that tells of an error.

    Args:
        error: text, or the body of the model's answer: the value of `error` in a JSON object, else its text.
        code: of the platform's own errors.
    """
    told: Any = error if isinstance(error, str) else _error_of(error, status)
    fields: dict[str, Any] = {"error": told, "status": status}
    if code is not None:
        fields |= {"code": code, "retryable": TABLE[code].retryable}
    return json.dumps(fields).encode()


def _error_of(body: bytes, status: int) -> Any:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return body.decode("utf-8", "replace") or f"The model answered with status {status}."
    if isinstance(value, dict) and value.get("error"):
        return value["error"]
    return value or f"The model answered with status {status}."


def _header(head: trunk_pb2.ResponseHead, name: str) -> str:
    values = [header.value.decode("latin-1") for header in head.headers if header.name.lower() == name]
    return values[0] if len(values) == 1 else ""
