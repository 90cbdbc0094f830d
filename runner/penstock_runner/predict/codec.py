"""Bodies in msgpack: what a request with `Content-Type: application/octet-stream` has, and what it gets back."""

from __future__ import annotations

from penstock.payloads.msgpack_codec import pack as pack
from penstock.payloads.msgpack_codec import unpack as unpack

MEDIA_TYPE = "application/octet-stream"


def is_binary(content_type: str | None) -> bool:
    """Whether a request with this Content-Type is in msgpack, and so its answer. Case and parameters are free."""
    if content_type is None or content_type == "application/json":
        return False
    return content_type.partition(";")[0].strip().lower() == MEDIA_TYPE
