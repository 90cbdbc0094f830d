"""JSON of requests and results, in the form in which a Truss server reads and writes it.

The text is that of Python's `json.dumps` with its defaults: `NaN` and `Infinity` are written and read, other than ASCII
is escaped. Beyond what Truss encodes, values that msgpack carries and models inside structures are encoded, too.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID


def decode_json(body: bytes) -> Any:
    """Returns the value of `body`, in UTF-8 (or UTF-16 or UTF-32, told from its first bytes).

    Raises:
        ValueError: It is empty, no JSON, in no such encoding, nested too deeply, or has a number of too many digits.
    """
    try:
        return json.loads(body)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def encode_json(value: Any) -> bytes:
    """Returns `value` as JSON text in ASCII.

    Written as numbers: numpy scalars, timedelta (seconds). As lists: numpy arrays. As text: datetime, date and time
    (ISO 8601), Decimal, UUID. An Enum member as its value; dataclasses and pydantic models, at any depth, as objects.

    Raises:
        TypeError: Something in `value` has no form in JSON.
        ValueError: `value` contains itself.
        RecursionError: It is nested too deeply.
    """
    return _ENCODER.encode(value).encode("ascii")


def dump_model(model: Any, *, as_json: bool) -> Any:
    """Returns a pydantic model (of version 1 or 2) as plain values.

    Args:
        as_json: Only values that JSON knows, as the model's own encoders have them.
    """
    if hasattr(model, "model_dump"):
        return model.model_dump(mode="json" if as_json else "python")
    return json.loads(model.json()) if as_json else model.dict()


def dump_model_json(model: Any) -> str:
    """Returns a pydantic model (of version 1 or 2) as the JSON text that it makes of itself."""
    text: str = model.model_dump_json() if hasattr(model, "model_dump_json") else model.json()
    return text


def is_model(value: object) -> bool:
    """Whether `value` is an instance of a pydantic model of version 1 or 2."""
    return is_model_class(type(value))


def is_model_class(kind: object) -> bool:
    """Whether `kind` is a class of pydantic models of version 1 or 2. Imports nothing."""
    return isinstance(kind, type) and issubclass(kind, _model_bases())


def _model_bases() -> tuple[type, ...]:
    # Whoever has a model has imported its base: pydantic need not be there, and pydantic.v1 is slow to import.
    modules = (sys.modules.get("pydantic.main"), sys.modules.get("pydantic.v1.main"))
    return tuple(module.BaseModel for module in modules if module is not None)


def iso_datetime(value: datetime) -> str:
    """Returns ISO 8601, with `Z` for UTC, as Truss writes it."""
    text = value.isoformat()
    return f"{text[:-6]}Z" if text.endswith("+00:00") else text


def _plain(value: Any) -> Any:
    """Turns what `json` does not know into what it knows."""
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        if isinstance(value, numpy.integer):
            return int(value)
        if isinstance(value, numpy.floating):
            return float(value)
        if isinstance(value, numpy.bool_):
            return bool(value)
        if isinstance(value, numpy.ndarray):
            return value.tolist()
    if is_model(value):
        return dump_model(value, as_json=True)
    if isinstance(value, datetime):
        return iso_datetime(value)
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal | UUID):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


_ENCODER = json.JSONEncoder(default=_plain)
