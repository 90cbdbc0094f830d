"""Values with markers, byte for byte as Truss 0.18.36 with msgpack-numpy 0.4.8 writes them."""

from __future__ import annotations

import pickle
import sys
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import msgpack  # type: ignore[import-untyped]  # it comes without types
import numpy as np
import pytest
from pydantic import BaseModel

from penstock.payloads.msgpack_codec import pack, unpack
from penstock.payloads.msgpack_types import decode_special, encode_special

GOLDEN: list[tuple[Any, str]] = [
    (
        datetime(2024, 1, 2, 3, 4, 5, 678),  # noqa: DTZ001  # without a zone is what is tested
        "82c4135f5f64745f6461746574696d655f69736f5f5fc3c40464617461"
        "ba323032342d30312d30325430333a30343a30352e303030363738",
    ),
    (
        datetime(2024, 1, 2, tzinfo=UTC),
        "82c4135f5f64745f6461746574696d655f69736f5f5fc3c40464617461b4323032342d30312d30325430303a30303a30305a",
    ),
    (date(2024, 1, 2), "82c40f5f5f64745f646174655f69736f5f5fc3c40464617461aa323032342d30312d3032"),
    (
        time(3, 4, 5, 6),
        "82c40f5f5f64745f74696d655f69736f5f5fc3c40464617461af30333a30343a30352e303030303036",
    ),
    (
        timedelta(days=-1, seconds=3, microseconds=7),
        "82c4105f5f64745f74696d6564656c74615f5fc3c4046461746193ff0307",
    ),
    (Decimal("1.250"), "82c40b5f5f646563696d616c5f5fc3c40464617461a5312e323530"),
    (
        UUID(int=5),
        "82c4085f5f757569645f5fc3c40464617461"
        "d92430303030303030302d303030302d303030302d303030302d303030303030303030303035",
    ),
    (3 + 4j, "82c407636f6d706c6578c3c40464617461a628332b346a29"),
    (
        np.array([[1, 2, 3], [4, 5, 6]], "<i2"),
        "85c4026e64c3c40474797065a33c6932c4046b696e64c400c4057368617065920203c40464617461c40c010002000300040005000600",
    ),
    (np.float32(1.5), "83c4026e64c2c40474797065a33c6634c40464617461c4040000c03f"),
    (np.bool_(True), "83c4026e64c2c40474797065a37c6231c40464617461c40101"),
    (
        np.array([(1, 2.5)], [("a", "<i4"), ("b", "<f8")]),
        "85c4026e64c3c404747970659292a161a33c693492a162a33c6638c4046b696e64c40156"
        "c40573686170659101c40464617461c40c010000000000000000000440",
    ),
    (
        np.array(["é"], "<U1"),
        "85c4026e64c3c40474797065a33c5531c4046b696e64c400c40573686170659101c40464617461c404e9000000",
    ),
]


def alike(one: Any, other: Any) -> bool:
    """Whether value, type, and for arrays type and shape of the elements, are the same."""
    if isinstance(one, np.ndarray):
        return (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
    return type(one) is type(other) and bool(one == other)


@pytest.mark.parametrize(("value", "golden"), GOLDEN, ids=lambda value: type(value).__name__)
def test_values_are_written_as_truss_writes_them(value: Any, golden: str) -> None:
    assert pack(value).hex() == golden


@pytest.mark.parametrize(("value", "golden"), GOLDEN, ids=lambda value: type(value).__name__)
def test_what_truss_writes_is_read(value: Any, golden: str) -> None:
    assert alike(value, unpack(bytes.fromhex(golden)))


@pytest.mark.parametrize(
    "array",
    [
        np.arange(24.0).reshape(2, 3, 4).transpose(2, 0, 1),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.arange(10)[::2],
        np.array(7, ">i4"),
        np.zeros((0, 4), "f2"),
        np.array([1 + 2j], "c8"),
        np.array([b"abc", b"d"]),
        np.array(["2024-01-01"], "M8[ns]"),
        np.array([1], "m8[25us]"),
        np.zeros(2, [("a", [("x", "<i2"), ("y", "S3")]), ("z", "<f8", (2, 2))]),
        np.zeros(1, [(("title", "name"), "<i4")]),
    ],
    ids=lambda array: f"{array.dtype.str}{array.shape}",
)
def test_arrays_of_every_kind_and_order_survive(array: np.ndarray[Any, Any]) -> None:
    copy = unpack(pack({"deep": [array]}))["deep"][0]

    assert (copy.dtype, copy.shape) == (array.dtype, array.shape)
    assert np.array_equal(copy, array)


@pytest.mark.parametrize("scalar", [np.int8(-3), np.uint64(2**63), np.float16(0.5), np.datetime64("2024-01-01", "ms")])
def test_numpy_scalars_keep_their_type(scalar: Any) -> None:
    assert alike(scalar, unpack(pack(scalar)))


def test_float64_is_a_plain_float() -> None:
    assert pack(np.float64(1.5)) == pack(1.5)


def test_aware_datetime_keeps_its_offset() -> None:
    moment = datetime(2024, 1, 2, tzinfo=timezone(timedelta(hours=5, minutes=30)))

    assert unpack(pack(moment)).utcoffset() == timedelta(hours=5, minutes=30)


def test_time_with_a_zone_is_refused_as_truss_refuses_it() -> None:
    with pytest.raises(ValueError, match="Cannot represent timezone-aware times"):
        pack(time(1, 2, tzinfo=UTC))


def test_models_and_enums_inside_of_a_value_become_plain() -> None:
    class Colour(Enum):
        RED = "red"

    class Word(BaseModel):
        text: str
        colour: Colour
        at: date

    packed = pack({"words": [Word(text="a", colour=Colour.RED, at=date(2024, 1, 2))]})

    assert unpack(packed) == {"words": [{"text": "a", "colour": "red", "at": date(2024, 1, 2)}]}


@pytest.mark.parametrize(
    "value",
    [{1, 2}, object(), 2**64, -(2**63) - 1, np.array([1, None], object), np.zeros(1, [("a", "O")]), np.void(b"x")],
    ids=lambda value: type(value).__name__,
)
def test_values_without_a_form_are_type_errors(value: Any) -> None:
    with pytest.raises(TypeError, match=r"serializable|64 bits"):
        pack([value])


def test_strings_of_numpy_that_hold_pointers_are_refused() -> None:
    with pytest.raises(TypeError, match="not msgpack serializable"):
        pack(np.array(["a"], np.dtypes.StringDType()))


class Trap:
    """Fails the test when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("a pickle was loaded",)


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("kind", [b"O", b"V", b"", None])
@pytest.mark.parametrize("described", ["|O", "O", "|O8", b"|O", [["", "|O"]], [["a", "<i4"], ["b", [["c", "|O"]]]]])
def test_pickles_are_never_loaded(described: Any, kind: bytes | None, nested: bool) -> None:
    """truss.md section 10, 6: object arrays are refused, in whatever disguise."""
    array = {b"nd": True, b"type": described, b"shape": [1], b"data": pickle.dumps(Trap())}
    if kind is not None:
        array[b"kind"] = kind

    with pytest.raises(ValueError, match="not accepted"):
        unpack(msgpack.packb({"inputs": [array]} if nested else array))


def test_array_of_objects_is_refused_even_with_a_harmless_type() -> None:
    array = {b"nd": True, b"type": "<i4", b"kind": b"O", b"shape": [1], b"data": b"abcd"}

    with pytest.raises(ValueError, match="objects are not accepted"):
        unpack(msgpack.packb(array))


@pytest.mark.parametrize(
    "described", ["|T16", "T16", "StringDType()", "i4,O", "(2,)O", "float64", "P", "", "<i3", "V-1"]
)
def test_types_that_are_more_than_bytes_are_refused(described: str) -> None:
    for is_array in (True, False):
        with pytest.raises(ValueError, match="not accepted"):
            unpack(msgpack.packb({b"nd": is_array, b"type": described, b"shape": [1], b"data": bytes(16)}))


@pytest.mark.parametrize(
    ("described", "shape", "data"),
    [
        ("<f8", [10**12], b""),
        ("<f8", [2], bytes(8)),
        ("|S0", [10**9], b""),
        ("<U0", [10**12, 10**12], b""),
        ("<i4", [-2], bytes(4)),
        ("<i4", ["1"], bytes(4)),
        ("<i4", 3, bytes(12)),
        ("<i4", [2**63], bytes(4)),
        ("<i1", [1] * 100, bytes(1)),
        ("|V9999999999", [1], bytes(4)),
        ("<M8[nonsense]", [1], bytes(8)),
        ("<i4", [1], "text"),
        ("<i4", [1], None),
        ("<i4", [10**9], None),
        (None, [1], bytes(4)),
        ([["a"]], [1], bytes(4)),
        ([["a", "<i4"], ["a", "<i4"]], [1], bytes(8)),
        ([["a", "<i4", [10**10]]], [1], bytes(8)),
    ],
)
def test_arrays_that_lie_are_value_errors(described: Any, shape: Any, data: Any) -> None:
    with pytest.raises(ValueError, match="bad value of `nd`"):
        unpack(msgpack.packb({b"nd": True, b"type": described, b"shape": shape, b"data": data}))


def test_types_inside_one_another_have_a_limit() -> None:
    described: Any = "<i4"
    for _ in range(400):
        described = [["a", described]]

    with pytest.raises(ValueError, match="unknown description"):
        unpack(msgpack.packb({b"nd": True, b"type": described, b"shape": [1], b"data": bytes(4)}))


@pytest.mark.parametrize(
    ("marker", "data"),
    [
        (b"__dt_datetime_iso__", "yesterday"),
        (b"__dt_date_iso__", 5),
        (b"__dt_time_iso__", "25:00"),
        (b"__dt_timedelta__", [1]),
        (b"__dt_timedelta__", [10**12, 0, 0]),
        (b"__decimal__", "one"),
        (b"__uuid__", 5),
        (b"complex", "i"),
    ],
)
def test_data_of_the_wrong_kind_is_a_value_error(marker: bytes, data: Any) -> None:
    with pytest.raises(ValueError, match=f"bad value of `{marker.decode()}`"):
        unpack(msgpack.packb({marker: True, b"data": data}))


@pytest.mark.parametrize(
    "value", [{}, {b"data": 1}, {b"__uuid__": True}, {b"nd": True, b"data": b""}, {"nd": 1, "data": 2}]
)
def test_maps_that_are_no_markers_stay_maps(value: dict[Any, Any]) -> None:
    assert unpack(msgpack.packb(value)) == value


def test_plain_maps_are_returned_as_they_are() -> None:
    value = {"a": 1}

    assert decode_special(value) is value


def test_arrays_need_numpy_only_when_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    array = pack(np.zeros(1))
    monkeypatch.setitem(sys.modules, "numpy", None)

    assert encode_special(Decimal(1)) == {b"__decimal__": True, b"data": "1"}
    with pytest.raises(ValueError, match="need numpy in the model's requirements"):
        unpack(array)
