"""Messages of conversations and of framed streams between chainlets: one byte says what the rest is. Pure.

| first byte | the rest |
|---|---|
| 0x01 header | the opening of a conversation, see `Opening` |
| 0x02 item | one item, encoded |
| 0x03 end | nothing: this side has sent its last item |
| 0x04 error | JSON: {"status": HTTP status, "error": RemoteErrorDetail or text}; from the callee only, and its last |

A stream of results is framed for callers that ask for it by `STREAM_HEADER`, so that empty items, and errors behind the
first item, reach them. Without frames its items stand in the response as they are, as in Truss.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from penstock.chains.remote.encoding_buffers import Part

HEADER: Final = 1
ITEM: Final = 2
END: Final = 3
ERROR: Final = 4

STREAM_HEADER: Final = "x-penstock-stream"
"""Header of a request whose caller wants a framed stream; its value is STREAM_FRAMED."""
STREAM_FRAMED: Final = "framed"
STREAM_TYPE: Final = "application/vnd.penstock.chain.stream"
"""Content type of a framed stream."""

END_FRAME: Final = bytes((END,))

_ITEM_BYTE: Final = bytes((ITEM,))
_ERROR_BYTE: Final = bytes((ERROR,))
_HEADER_BYTE: Final = bytes((HEADER,))
_LENGTH_BYTES: Final = 4


class FrameError(ValueError):
    """A message is none of this protocol; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Opening:
    """The first message of a conversation.

    As a frame: length of the JSON that follows, 4 bytes, big-endian; JSON with `content_type` and `headers`; then the
    arguments.
    """

    content_type: str
    """Of the arguments, and of all items both ways."""
    headers: Mapping[str, str]
    """Those of the trace, by name in lower case."""
    arguments: Part = b""
    """All but the stream, as encoding.encode_arguments makes them."""


def item_frame(parts: tuple[Part, ...]) -> bytes:
    """Returns the message of one item."""
    return b"".join((_ITEM_BYTE, *parts))


def error_frame(status: int, error: Mapping[str, Any] | str) -> bytes:
    """Returns the message of an error: a RemoteErrorDetail as a mapping, or a text."""
    return _ERROR_BYTE + json.dumps({"status": status, "error": error}).encode()


def header_frame(content_type: str, headers: Mapping[str, str], arguments: tuple[Part, ...]) -> bytes:
    """Returns the first message of a conversation."""
    meta = json.dumps({"content_type": content_type, "headers": dict(headers)}).encode()
    return b"".join((_HEADER_BYTE, len(meta).to_bytes(_LENGTH_BYTES, "big"), meta, *arguments))


def read_frame(data: bytes) -> tuple[int, bytes]:
    """Returns what a message is, and its content: a copy, because arrays in it want to begin at an even address.

    Raises:
        FrameError: it is none.
    """
    if not data:
        raise FrameError("an empty message, which has no kind")
    if not HEADER <= data[0] <= ERROR:
        raise FrameError(f"a message of the unknown kind {data[0]:#04x}")
    return data[0], data[1:]


def read_opening(content: bytes) -> Opening:
    """Returns the content of a header.

    Raises:
        FrameError: it is none.
    """
    length = int.from_bytes(content[:_LENGTH_BYTES], "big")
    meta = content[_LENGTH_BYTES : _LENGTH_BYTES + length]
    if len(content) < _LENGTH_BYTES or len(meta) < length:
        raise FrameError("a header that is cut short")
    try:
        found = json.loads(meta)
        content_type, headers = found["content_type"], found.get("headers") or {}
    except (ValueError, LookupError, TypeError, RecursionError) as exc:
        raise FrameError(f"a header without its content type: {exc}") from None
    if not isinstance(content_type, str) or not isinstance(headers, dict):
        raise FrameError("a header whose fields are of the wrong types")
    known = {str(name).lower(): value for name, value in headers.items() if isinstance(value, str)}
    return Opening(content_type, known, content[_LENGTH_BYTES + length :])


def read_error(content: bytes) -> tuple[int, bytes]:
    """Returns status and body of an error, as rpc_errors.raise_remote takes them; 500 when there is no status."""
    try:
        status = json.loads(content)["status"]
    except (ValueError, LookupError, TypeError, RecursionError):
        status = None
    return (status if isinstance(status, int) and 400 <= status <= 599 else 500), content
