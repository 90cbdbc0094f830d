"""Msgpack bodies, and what is refused of them."""

from __future__ import annotations

import struct
from time import process_time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.payloads import msgpack_codec as codec
from penstock.payloads.msgpack_codec import pack, unpack

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.dates()
    | st.timedeltas()
    | st.uuids(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.binary(max_size=3), inner),
    max_leaves=20,
)


@given(plain)
def test_values_survive_the_way_there_and_back(value: Any) -> None:
    assert unpack(pack(value)) == value


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_value_errors(data: bytes) -> None:
    try:
        unpack(data)
    except ValueError:
        pass


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "incomplete input|cut short"),
        (b"\x92\x01", "incomplete input|cut short"),
        (b"\xc1", "not msgpack"),
        (b"\x01\x02", "extra data"),
        (b"\x81\x01\x02", "not allowed for map key"),
        (b"\xa1\xff", "utf-8"),
        (b"\x91" * 100_000, "nested too deeply"),
    ],
)
@pytest.mark.parametrize("preallocates", [False, True])
def test_malformed_bodies_are_value_errors(
    data: bytes, reason: str, preallocates: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codec, "_PREALLOCATES", preallocates)

    with pytest.raises(ValueError, match=reason):
        unpack(data)


@pytest.mark.parametrize("data", [b"", b"\x92\x01", b"\xa5ab"])
@pytest.mark.parametrize(("preallocates", "reason"), [(False, "incomplete input"), (True, "cut short")])
def test_cut_body_is_a_value_error(
    data: bytes, preallocates: bool, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the walk before unpacking, for versions that preallocate, gives the second reason."""
    monkeypatch.setattr(codec, "_PREALLOCATES", preallocates)

    with pytest.raises(ValueError, match=reason):
        unpack(data)


@pytest.mark.parametrize("head", [b"\xdd", b"\xdf", b"\xc9"], ids=["array", "map", "ext"])
def test_length_beyond_the_body_is_refused_before_anything_is_made(
    head: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codec, "_PREALLOCATES", False)

    with pytest.raises(ValueError, match="exceeds max_"):
        unpack(head + struct.pack(">I", 2**32 - 1) + b"\x05")


def test_arrays_that_claim_all_of_the_body_at_every_depth_cost_little() -> None:
    """Versions of msgpack that reserve room for each of them need seconds and gigabytes for this."""
    length = 1_000_000
    data = (b"\xdd" + struct.pack(">I", length - 10_000)) * 900

    before = process_time()
    with pytest.raises(ValueError, match=r"incomplete input|cut short"):
        unpack(data.ljust(length, b"\xc0"))

    assert process_time() - before < 1


def test_depth_that_fits_is_read() -> None:
    value = unpack(b"\x91" * 500 + b"\x01")

    for _ in range(500):
        (value,) = value
    assert value == 1


def test_result_that_is_nested_too_deeply_is_a_value_error() -> None:
    value: list[Any] = []
    for _ in range(2000):
        value = [value]

    with pytest.raises(ValueError, match="recursion limit"):
        pack(value)


def test_keys_are_text_or_bytes_unless_any_may_be() -> None:
    with pytest.raises(ValueError, match="not allowed for map key"):
        unpack(b"\x81\x01\x02")
    assert unpack(b"\x81\x01\x02", any_keys=True) == {1: 2}


@pytest.mark.parametrize("data", [b"\x81\x90\x02", b"\x81\x80\x02"], ids=["list", "map"])
def test_a_key_that_cannot_be_one_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="cannot be one"):
        unpack(data, any_keys=True)


def test_extension_types_are_the_callers_matter() -> None:
    assert unpack(b"\xd4\x07x", lambda code, content: (code, content)) == (7, b"x")
