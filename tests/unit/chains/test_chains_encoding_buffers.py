"""The binary form between chainlets: arrays as they lie in memory, and what is refused."""

from __future__ import annotations

import struct
import tracemalloc
from typing import Any

import msgpack  # type: ignore[import-untyped]  # it comes without types
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.chains.remote.encoding_buffers import ALIGNMENT, BUFFER_BYTES_MIN, decode_buffers, encode_buffers

DTYPES = ["<f4", ">f8", "<i2", "|b1", "|u1", "<c16", "<f2", "<U5", "|S3", "<M8[ns]", "<m8[s]"]


def there(value: Any) -> Any:
    return decode_buffers(b"".join(encode_buffers(value)))


def message(structure: Any, *buffers: bytes, packed: bytes | None = None) -> bytes:
    """Returns a message, put together by hand."""
    structure = msgpack.packb(structure) if packed is None else packed
    body: bytes = struct.pack("<4sIII", b"PNC1", len(structure), len(buffers), 0)
    body += b"".join(struct.pack("<Q", len(buffer)) for buffer in buffers) + structure
    for buffer in buffers:
        body += bytes(-len(body) % ALIGNMENT) + buffer
    return body


def array(index: Any, dtype: Any, shape: Any, order: Any = False) -> msgpack.ExtType:
    return msgpack.ExtType(1, msgpack.packb([index, dtype, shape, order]))


@st.composite
def arrays(draw: st.DrawFn) -> npt.NDArray[Any]:
    shape = tuple(draw(st.lists(st.integers(0, 4), max_size=4)))
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    count = int(np.prod(shape)) * dtype.itemsize
    data = draw(st.binary(min_size=count, max_size=count)) if dtype.kind not in "U" else bytes(count)
    made: npt.NDArray[Any] = np.ndarray(shape, dtype, data)
    return draw(st.sampled_from([made, made.T, made[::-1] if made.ndim else made, np.asfortranarray(made)]))


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.binary(max_size=20)
    | st.binary(min_size=1, max_size=1).map(lambda one: one * (BUFFER_BYTES_MIN + 1))
    | st.datetimes()
    | arrays(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5) | st.integers(0, 9), inner, max_size=4)
    ),
    max_leaves=12,
)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        return (
            isinstance(other, np.ndarray)
            and (one.shape, one.dtype) == (other.shape, other.dtype)
            and one.tobytes() == other.tobytes()
        )
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other and type(one) is type(other))


@settings(max_examples=80)
@given(values)
def test_values_survive_the_way_there_and_back(value: Any) -> None:
    assert same(value, there(value))


@settings(max_examples=80)
@given(values.map(lambda value: b"".join(encode_buffers(value))), st.data())
def test_no_bytes_raise_anything_but_value_errors(body: bytes, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(body) - 1))
    changed = bytearray(body)
    changed[place] ^= data.draw(st.integers(1, 255))
    for attempt in (bytes(changed), body[:place]):
        try:
            decode_buffers(attempt)
        except ValueError:
            pass


def test_arrays_are_sent_as_they_lie_in_memory() -> None:
    plain = np.arange(100_000, dtype="<f4").reshape(100, 1000)
    parts = encode_buffers({"a": plain, "b": plain.T, "c": b"x" * BUFFER_BYTES_MIN})

    views = [np.frombuffer(part, np.uint8) for part in parts if isinstance(part, memoryview) and len(part) > ALIGNMENT]
    assert [np.shares_memory(view, plain) for view in views] == [True, True]
    assert any(part is parts[-1] and type(part) is bytes for part in parts)


def test_arrays_are_read_as_they_lie_in_the_message() -> None:
    body = b"".join(
        encode_buffers([b"odd", np.arange(7, dtype="<u1"), np.arange(1000, dtype="<f8"), np.asfortranarray(np.eye(4))])
    )
    _, _, numbers, eye = decode_buffers(body)

    assert np.shares_memory(numbers, np.frombuffer(body, np.uint8))
    assert (numbers.ctypes.data - np.frombuffer(body, np.uint8).ctypes.data) % ALIGNMENT == 0
    assert not numbers.flags.writeable
    assert eye.flags.f_contiguous
    with pytest.raises(ValueError, match="read-only"):
        numbers[0] = 1


def test_arrays_of_a_message_that_may_change_are_read_only_too() -> None:
    (array,) = decode_buffers(memoryview(bytearray(b"".join(encode_buffers([np.arange(3)])))))

    assert not array.flags.writeable


def test_structured_arrays_and_scalars_survive() -> None:
    table = np.array([(1, 2.0), (3, 4.0)], dtype=[("a", "<i4"), ("b", "<f8")])

    assert same(there(table), table)
    assert there(np.float32(1.5)) == np.float32(1.5)


def test_arrays_of_objects_are_refused() -> None:
    with pytest.raises(TypeError, match="its elements are more than their bytes"):
        encode_buffers(np.array([object()]))


def test_what_has_no_form_is_refused() -> None:
    with pytest.raises(TypeError, match="Object of type object cannot be sent in binary"):
        encode_buffers(object())
    with pytest.raises(TypeError, match="Integers beyond 64 bits"):
        encode_buffers(2**64)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "cut short"),
        (b"PNC1", "cut short"),
        (b"XXXX" + bytes(12), "not a message of chainlets"),
        (message(1)[:12] + b"\1\0\0\0" + message(1)[16:], "not a message of chainlets"),
        (message(1)[:-1], "cut short"),
        (message(1) + b"x", "followed by something"),
        (message(array(0, "<f4", [2]), bytes(8))[:-1], "cut short"),
        (message(1, bytes(8)) + bytes(64), "followed by something"),
        (struct.pack("<4sIII", b"PNC1", 1, 2**32 - 1, 0) + b"\xc0", "cut short"),
        (struct.pack("<4sIIIQ", b"PNC1", 1, 1, 0, 2**63) + b"\xc0", "cut short"),
        (message(array(0, "<f4", [3]), bytes(8)), "does not fit 8 bytes"),
        (message(array(0, "<f4", [1]), bytes(8)), "does not fit 8 bytes"),
        (message(array(0, "<f4", [2**62, 2**62]), bytes(8)), "does not fit 8 bytes"),
        (message(array(0, "<f4", [-2, -1]), bytes(8)), "bad shape"),
        (message(array(0, "<f4", [-1]), bytes(8)), "bad shape"),
        (message(array(0, "<f4", [True, 2]), bytes(8)), "bad shape"),
        (message(array(0, "<f4", [1.0]), bytes(8)), "bad shape"),
        (message(array(0, "<f4", "ab"), bytes(8)), "bad shape"),
        (message(array(0, "<f4", [1] * 65), bytes(4)), "bad shape"),
        (message(array(0, "|O", [1]), bytes(8)), "not accepted"),
        (message(array(0, "|S0", [9]), b""), "does not fit|not accepted"),
        (message(array(0, 7, [1]), bytes(8)), "bad type"),
        (message(array(0, [["a", "|O"]], [1]), bytes(8)), "not accepted"),
        (message(array(1, "<f4", [2]), bytes(8)), "not there"),
        (message(array(-1, "<f4", [2]), bytes(8)), "not there"),
        (message(array("0", "<f4", [2]), bytes(8)), "not there"),
        (message([array(0, "<f4", [2])] * 2, bytes(8)), "twice"),
        (message([msgpack.ExtType(2, bytes(4))] * 2, bytes(8)), "twice"),
        (message(msgpack.ExtType(2, bytes(3)), bytes(8)), "unknown extension"),
        (message(msgpack.ExtType(3, b"")), "unknown extension"),
        (message(msgpack.ExtType(1, msgpack.packb([1]))), "bad array"),
        (message(msgpack.ExtType(1, b"\xc1")), "not msgpack"),
        (message(None, packed=b"\xdd\xff\xff\xff\xff"), "exceeds|incomplete|cut short"),
    ],
    ids=range(33),
)
def test_hostile_messages_are_value_errors(body: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        decode_buffers(body)


def test_a_claim_costs_no_memory() -> None:
    body = message(array(0, "<f8", [2**40]), bytes(8))

    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="does not fit"):
            decode_buffers(body)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 1_000_000
