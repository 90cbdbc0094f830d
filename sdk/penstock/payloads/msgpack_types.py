"""Values that msgpack itself does not know, as maps with marker keys: the form of Truss and of msgpack-numpy 0.4.

The keys of these maps are byte strings (msgpack's bin type), so a map with text as keys never looks like one. Each has
`data` beside its marker. Text is msgpack's str.

| value | marker | data |
|---|---|---|
| datetime | `__dt_datetime_iso__`: true | text, ISO 8601; UTC as `Z` |
| date | `__dt_date_iso__`: true | text, ISO 8601 |
| time without a zone | `__dt_time_iso__`: true | text, ISO 8601 |
| timedelta | `__dt_timedelta__`: true | array: days, seconds, microseconds |
| Decimal | `__decimal__`: true | text |
| UUID | `__uuid__`: true | text |
| complex | `complex`: true | text, as Python's `repr` |
| numpy array | `nd`: true | bin: the elements in C order |
| numpy scalar | `nd`: false | bin: the element |

A numpy scalar has `type` beside it: the array protocol's type string, for example `<f4`. An array has `type`, `shape`
(an array of integers) and `kind`: bin, empty, or `V` for a structured array, whose `type` is an array of fields, each
[name, type] or [name, type, shape], where the type of a field may be such an array again. numpy.float64 is a plain
float, being a subclass of it.

Arrays of Python objects travel as pickles there (`kind` `O`). Here they are refused both ways: a pickle runs code.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from types import ModuleType
from typing import Any
from uuid import UUID

from penstock.payloads.json_encoding import dump_model, is_model, iso_datetime

_DATA = b"data"

_TYPE_STRING = re.compile(
    r"[<>|=]?(?:b1|[iu][1248]|f(?:2|4|8|12|16)|c(?:8|16|24|32)|[SUV]\d{1,10}|[mM]8(?:\[[\w/]+\])?)"
)
"""Types whose elements are nothing but their bytes. Objects (`O`) and numpy's own strings (`T`) hold pointers."""

_FIELD_DEPTH_MAX = 16
"""Structured types inside one another; numpy sets no limit, and its parser calls itself."""


def encode_special(value: Any) -> Any:
    """Returns `value` in a form that msgpack can pack, or that leads there by further calls.

    Raises:
        TypeError: There is no such form.
        ValueError: It is a time with a zone.
    """
    if isinstance(value, datetime):
        return {b"__dt_datetime_iso__": True, _DATA: iso_datetime(value)}
    if isinstance(value, date):
        return {b"__dt_date_iso__": True, _DATA: value.isoformat()}
    if isinstance(value, time):
        if value.utcoffset() is not None:
            raise ValueError("Cannot represent timezone-aware times.")
        return {b"__dt_time_iso__": True, _DATA: value.isoformat()}
    if isinstance(value, timedelta):
        return {b"__dt_timedelta__": True, _DATA: (value.days, value.seconds, value.microseconds)}
    if isinstance(value, Decimal):
        return {b"__decimal__": True, _DATA: str(value)}
    if isinstance(value, UUID):
        return {b"__uuid__": True, _DATA: str(value)}
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        if isinstance(value, numpy.ndarray):
            return _encode_array(numpy, value)
        if isinstance(value, numpy.bool_ | numpy.number | numpy.datetime64):
            return {b"nd": False, b"type": value.dtype.str, _DATA: value.tobytes()}
    if isinstance(value, complex):
        return {b"complex": True, _DATA: repr(value)}
    if is_model(value):
        return dump_model(value, as_json=False)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, int):
        raise TypeError("Integers beyond 64 bits cannot be sent as msgpack")
    raise TypeError(f"Object of type {type(value).__name__} is not msgpack serializable")


def decode_special(value: dict[Any, Any]) -> Any:
    """Returns what a map stands for: the map itself when it has no marker, or a marker without its data.

    Arrays are read-only views of the bytes of the message.

    Raises:
        ValueError: The data of a marker is none of its kind, or an array is of a type that is refused.
    """
    if value.keys().isdisjoint(_MARKERS):
        return value
    marker = next(marker for marker in _DECODERS if marker in value)
    return _decoded(marker, _DECODERS[marker], value)


def _decoded(marker: bytes, decode: Callable[[dict[Any, Any]], Any], value: dict[Any, Any]) -> Any:
    try:
        return decode(value)
    except KeyError:
        return value  # something beside the marker is missing
    except ImportError:
        raise ValueError("numpy arrays need numpy in the model's requirements") from None
    except Exception as exc:  # whatever the parser of a type raises: the client chose the data
        raise ValueError(f"bad value of `{marker.decode()}`: {exc}") from exc


def _encode_array(numpy: ModuleType, array: Any) -> dict[bytes, Any]:
    dtype = array.dtype
    if dtype.hasobject:  # also true for strings of numpy's own, which are pointers
        raise TypeError(f"Array of type {dtype} is not msgpack serializable")
    is_structured = dtype.kind == "V"
    plain = numpy.ascontiguousarray(array)
    # Only these have a buffer that Python can name; msgpack copies it once, `tobytes` would copy it twice.
    has_buffer = dtype.kind in "biufc"
    return {
        b"nd": True,
        b"type": dtype.descr if is_structured else dtype.str,
        b"kind": b"V" if is_structured else b"",
        b"shape": array.shape,
        _DATA: plain.data if has_buffer else plain.tobytes(),
    }


def _decode_array(value: dict[Any, Any]) -> Any:
    import numpy

    data = value[_DATA]
    if not isinstance(data, bytes):  # with None numpy would show what the memory held before
        raise ValueError("`data` must be binary")
    if value[b"nd"] is not True:
        return numpy.frombuffer(data, dtype=checked_dtype(numpy, value[b"type"]))[0]
    if value.get(b"kind") == b"O":
        raise ValueError("arrays of objects are not accepted: they travel as pickles")
    dtype = checked_dtype(numpy, value[b"type"])
    shape = tuple(value[b"shape"])
    if dtype.itemsize == 0 and math.prod(shape) > len(data):
        raise ValueError("more elements than bytes")
    return numpy.ndarray(buffer=data, dtype=dtype, shape=shape)


def checked_dtype(numpy: ModuleType, description: Any, depth: int = 0) -> Any:
    """Returns the numpy type that `description` (a type string, or a list of fields) names.

    Raises:
        ValueError: Its elements are more than their bytes, or it describes no type.
    """
    if isinstance(description, bytes):
        description = description.decode("ascii")
    if isinstance(description, str):
        if _TYPE_STRING.fullmatch(description) is None:
            raise ValueError(f"arrays of type {description[:40]!r} are not accepted")
        return numpy.dtype(description)
    if not isinstance(description, list) or depth >= _FIELD_DEPTH_MAX:
        raise ValueError("unknown description of a type")
    return numpy.dtype([_field(numpy, *field, depth=depth) for field in description])


def _field(numpy: ModuleType, name: Any, kind: Any, shape: Any = (), *, depth: int) -> tuple[Any, ...]:
    title_and_name = tuple(map(_text, name)) if isinstance(name, list) else _text(name)
    return title_and_name, checked_dtype(numpy, kind, depth + 1), shape


def _text(name: Any) -> Any:
    return name.decode() if isinstance(name, bytes) else name


def _decode_timedelta(value: dict[Any, Any]) -> timedelta:
    days, seconds, microseconds = value[_DATA]
    return timedelta(days=days, seconds=seconds, microseconds=microseconds)


def _decode_complex(value: dict[Any, Any]) -> complex:
    return complex(_text(value[_DATA]))


_DECODERS: dict[bytes, Callable[[dict[Any, Any]], Any]] = {
    b"__dt_datetime_iso__": lambda value: datetime.fromisoformat(value[_DATA]),
    b"__dt_date_iso__": lambda value: date.fromisoformat(value[_DATA]),
    b"__dt_time_iso__": lambda value: time.fromisoformat(value[_DATA]),
    b"__dt_timedelta__": _decode_timedelta,
    b"__decimal__": lambda value: Decimal(value[_DATA]),
    b"__uuid__": lambda value: UUID(value[_DATA]),
    b"nd": _decode_array,
    b"complex": _decode_complex,
}
_MARKERS = frozenset(_DECODERS)
