"""Msgpack as Truss writes and reads it, with bounds on what a message may claim."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgpack  # type: ignore[import-untyped]  # it comes without types

from penstock.payloads.msgpack_types import decode_special, encode_special

_PREALLOCATES = msgpack.version < (1, 2, 4)
"""Versions before 1.2.4 reserve room for as many elements as an array says that it has, before it has them. Arrays that
lie, inside one another, cost up to 2 s of CPU per MB of body."""


def pack(value: Any, default: Callable[[Any], Any] = encode_special) -> bytes:
    """Returns `value` in msgpack, with the markers of msgpack_types. Models inside of it become maps.

    Args:
        default: Gives what msgpack does not know another form.

    Raises:
        TypeError: Something in `value` has no form in msgpack.
        ValueError: It is a time with a zone, nested deeper than msgpack goes, or above 4 GiB.
    """
    packed: bytes = msgpack.packb(value, default=default)
    return packed


def unpack(
    data: bytes | memoryview,
    ext_hook: Callable[[int, bytes], Any] = msgpack.ExtType,
    *,
    any_keys: bool = False,
) -> Any:
    """Returns the one value of `data`.

    Lengths that `data` claims are bounded by its own, depth by msgpack (1024). Keys of maps are text or bytes, unless
    `any_keys` says otherwise.

    Args:
        ext_hook: Makes the value of an extension type of msgpack, from its number and its bytes. May raise ValueError.
        any_keys: Keys of maps may also be numbers and the like.

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
            ext_hook=ext_hook,
            strict_map_key=not any_keys,
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
    except TypeError as exc:  # a list or map as a key, where keys may be anything
        raise ValueError(f"a key of a map that cannot be one: {exc}") from None


def _check_lengths(data: bytes | memoryview) -> None:
    """Walks through `data` without making anything of it. Raises as unpacking does."""
    unpacker = msgpack.Unpacker(max_buffer_size=max(len(data), 1))
    unpacker.feed(data)
    unpacker.skip()
