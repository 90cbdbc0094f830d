"""Bodies in msgpack: what a request with `Content-Type: application/octet-stream` has, and what it gets back."""

from __future__ import annotations

from typing import Any

import msgpack  # type: ignore[import-untyped]  # it comes without types

from penstock_runner.predict.msgpack_types import decode_special, encode_special

MEDIA_TYPE = "application/octet-stream"

_PREALLOCATES = msgpack.version < (1, 2, 4)
"""Versions before 1.2.4 reserve room for as many elements as an array says that it has, before it has them. Arrays that
lie, inside one another, cost up to 2 s of CPU per MB of body."""


def is_binary(content_type: str | None) -> bool:
    """Whether a request with this Content-Type is in msgpack, and so its answer. Case and parameters are free."""
    if content_type is None or content_type == "application/json":
        return False
    return content_type.partition(";")[0].strip().lower() == MEDIA_TYPE


def pack(value: Any) -> bytes:
    """Returns `value` in msgpack, with the markers of msgpack_types. Models inside of it become maps.

    Raises:
        TypeError: Something in `value` has no form in msgpack.
        ValueError: It is a time with a zone, nested deeper than msgpack goes, or above 4 GiB.
    """
    packed: bytes = msgpack.packb(value, default=encode_special)
    return packed


def unpack(data: bytes) -> Any:
    """Returns the one value of `data`.

    Lengths that `data` claims are bounded by its own, depth by msgpack (1024). Keys of maps are text or bytes.

    Raises:
        ValueError: It is no msgpack, cut short, followed by something, nested too deeply, or holds a value that
            msgpack_types refuses.
    """
    length = len(data)
    try:
        if _PREALLOCATES:
            _check_lengths(data)
        return msgpack.unpackb(
            data,
            object_hook=decode_special,
            strict_map_key=True,
            max_str_len=length,
            max_bin_len=length,
            max_ext_len=length,
            max_array_len=length,
            max_map_len=length // 2,
        )
    except (msgpack.exceptions.StackError, RecursionError):
        raise ValueError("nested too deeply") from None
    except msgpack.exceptions.OutOfData:
        raise ValueError("cut short") from None
    except msgpack.exceptions.FormatError:
        raise ValueError("not msgpack") from None


def _check_lengths(data: bytes) -> None:
    """Walks through `data` without making anything of it. Raises as unpacking does."""
    unpacker = msgpack.Unpacker(max_buffer_size=max(len(data), 1))
    unpacker.feed(data)
    unpacker.skip()
