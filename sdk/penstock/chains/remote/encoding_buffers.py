"""Binary values between chainlets: a structure, and beside it the bytes of arrays as they lie in memory.

    0   "PNC1"
    4   u32  length of the structure
    8   u32  number of buffers
    12  u32  zero
    16  u64  length of each buffer
        the structure: msgpack, as penstock.payloads has it
        the buffers, each at a multiple of 64 bytes from the start

Numbers are little-endian. In the structure, extension type 1 is an array (msgpack of [buffer, type, shape, whether its
order is Fortran's]; the type as in msgpack_types), and 2 is a bytes object (u32, its buffer). Each buffer is named
once. Arrays of Python objects have no form here. Nothing is ever unpickled, and what is claimed is compared with what
there is before anything is made of it.
"""

from __future__ import annotations

import math
import struct
import sys
from typing import Any

import msgpack  # type: ignore[import-untyped]  # it comes without types
import pydantic_core

from penstock.payloads.msgpack_codec import pack, unpack
from penstock.payloads.msgpack_types import checked_dtype, encode_special

ALIGNMENT = 64
"""Bytes; a cache line, and more than any element of an array asks for."""

BUFFER_BYTES_MIN = 4096
"""Bytes objects from this length on are not copied into the structure."""

_MAGIC = b"PNC1"
_HEAD = struct.Struct("<4sIII")
_INDEX = struct.Struct("<I")
_ARRAY = 1
_BYTES = 2
_PADDING = memoryview(bytes(ALIGNMENT))
_DIMENSIONS_MAX = 64
_SEARCHED_MAX = 64
"""Longest list or dict that is searched for long bytes objects: those in longer ones are copied."""

Part = bytes | memoryview


class _LongBytes:
    """Stands for a bytes object that travels as a buffer."""

    __slots__ = ("value",)

    def __init__(self, value: bytes) -> None:
        self.value = value


def encode_buffers(value: Any) -> tuple[Part, ...]:
    """Returns `value` as parts of one message. Those of contiguous arrays and long bytes objects are no copies.

    Raises:
        TypeError: Something in `value` has no form here.
        ValueError: It is a time with a zone, or nested too deeply.
    """
    buffers: list[Part] = []
    numpy = sys.modules.get("numpy")

    def default(inner: Any) -> Any:
        if type(inner) is _LongBytes:
            buffers.append(inner.value)
            return msgpack.ExtType(_BYTES, _INDEX.pack(len(buffers) - 1))
        if numpy is not None and isinstance(inner, numpy.ndarray):
            return _encode_array(numpy, inner, buffers)
        return encode_special_or_json(inner)

    structure = pack(_with_long_bytes(value, depth=4), default)
    lengths = [len(buffer) for buffer in buffers]
    head = _HEAD.pack(_MAGIC, len(structure), len(buffers), 0) + struct.pack(f"<{len(lengths)}Q", *lengths) + structure
    parts: list[Part] = [head]
    size = len(head)
    for buffer, length in zip(buffers, lengths, strict=True):
        if padding := -size % ALIGNMENT:
            parts.append(_PADDING[:padding])
        parts.append(buffer)
        size += padding + length
    return tuple(parts)


def decode_buffers(body: Part) -> Any:
    """Returns the value of a message. Arrays are read-only views of `body`.

    Raises:
        ValueError: It is no such message, cut short, or claims what is not there.
    """
    view = memoryview(body)
    if len(view) < _HEAD.size:
        raise ValueError("cut short")
    magic, structure_length, count, zero = _HEAD.unpack_from(view)
    if magic != _MAGIC or zero:
        raise ValueError("not a message of chainlets")
    start = _HEAD.size + 8 * count
    position = start + structure_length
    if position > len(view):
        raise ValueError("cut short")
    slices = []
    for length in struct.unpack_from(f"<{count}Q", view, _HEAD.size):
        position += -position % ALIGNMENT
        slices.append(view[position : position + length])
        position += length
        if position > len(view):
            raise ValueError("cut short")
    if position != len(view):
        raise ValueError("followed by something")
    buffers: list[memoryview | None] = list(slices)

    def ext_hook(code: int, data: bytes) -> Any:
        if code == _ARRAY:
            return _decode_array(data, buffers)
        if code == _BYTES and len(data) == _INDEX.size:
            return bytes(_take(buffers, _INDEX.unpack(data)[0]))
        raise ValueError(f"unknown extension {code}")

    return unpack(view[start : start + structure_length], ext_hook, any_keys=True)


def encode_special_or_json(value: Any) -> Any:
    """Returns `value` in a form that msgpack can pack: its own one, or else the one that pydantic gives it in JSON.

    Raises:
        TypeError: There is no such form.
        ValueError: It is a time with a zone.
    """
    try:
        return encode_special(value)
    except TypeError:
        numpy = sys.modules.get("numpy")
        if isinstance(value, int) or (numpy is not None and isinstance(value, numpy.ndarray)):
            raise
    try:
        return pydantic_core.to_jsonable_python(value)
    except pydantic_core.PydanticSerializationError as exc:
        raise TypeError(f"Object of type {type(value).__name__} cannot be sent in binary") from exc


def _with_long_bytes(value: Any, depth: int) -> Any:
    """Returns `value` with its long bytes objects marked; the same object where there are none."""
    kind = type(value)
    if kind is bytes:
        return _LongBytes(value) if len(value) >= BUFFER_BYTES_MIN else value
    if depth == 0:
        return value
    if kind is dict and len(value) <= _SEARCHED_MAX:
        marked: Any = {key: _with_long_bytes(inner, depth - 1) for key, inner in value.items()}
        return marked if any(marked[key] is not inner for key, inner in value.items()) else value
    if kind in (list, tuple) and len(value) <= _SEARCHED_MAX:
        marked = [_with_long_bytes(inner, depth - 1) for inner in value]
        return marked if any(new is not old for new, old in zip(marked, value, strict=True)) else value
    return value


def _encode_array(numpy: Any, array: Any, buffers: list[Part]) -> Any:
    dtype = array.dtype
    if dtype.hasobject or dtype.itemsize == 0:  # the first is also true for strings of numpy's own, which are pointers
        raise TypeError(f"Array of type {dtype} cannot be sent: its elements are more than their bytes")
    is_fortran = bool(array.flags.f_contiguous and not array.flags.c_contiguous)
    flat = numpy.ascontiguousarray(array.T if is_fortran else array).reshape(-1).view(numpy.ndarray)
    buffers.append(flat.view(numpy.uint8).data if flat.size else b"")
    description = dtype.descr if dtype.kind == "V" and dtype.names else dtype.str
    return msgpack.ExtType(_ARRAY, msgpack.packb([len(buffers) - 1, description, array.shape, is_fortran]))


def _decode_array(data: bytes, buffers: list[memoryview | None]) -> Any:
    try:
        import numpy
    except ImportError:
        raise ValueError("numpy arrays need numpy in the requirements of the chainlet") from None
    fields = unpack(data)
    if not isinstance(fields, list) or len(fields) != 4:
        raise ValueError("bad array")
    index, description, shape, is_fortran = fields
    if not isinstance(shape, list) or len(shape) > _DIMENSIONS_MAX:
        raise ValueError("bad shape of an array")
    if any(type(length) is not int or length < 0 for length in shape):
        raise ValueError("bad shape of an array")
    try:
        dtype = checked_dtype(numpy, description)
    except Exception as exc:  # whatever numpy's parser of types raises
        raise ValueError(f"bad type of an array: {exc}") from None
    buffer = _take(buffers, index)
    if dtype.itemsize == 0 or math.prod(shape) * dtype.itemsize != len(buffer):
        raise ValueError(f"an array of shape {tuple(shape)} does not fit {len(buffer)} bytes")
    array = numpy.frombuffer(buffer, dtype=dtype) if len(buffer) else numpy.empty(0, dtype)
    array = array.reshape(shape[::-1]).T if is_fortran is True else array.reshape(shape)
    array.flags.writeable = False
    return array


def _take(buffers: list[memoryview | None], index: Any) -> memoryview:
    """Returns a buffer, once: a message that names one a million times would grow a million times."""
    if type(index) is not int or not 0 <= index < len(buffers):
        raise ValueError("names a buffer that is not there")
    buffer = buffers[index]
    if buffer is None:
        raise ValueError("names a buffer twice")
    buffers[index] = None
    return buffer
