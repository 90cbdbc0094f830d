"""JSON as a Truss server reads and writes it."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, v1

from penstock.payloads.json_encoding import (
    decode_json,
    dump_model,
    dump_model_json,
    encode_json,
    is_model,
    is_model_class,
)


class Word(BaseModel):
    text: str
    at: date


class OldWord(v1.BaseModel):
    text: str
    at: date


@dataclasses.dataclass
class Point:
    x: int
    of: Any = None


class Colour(Enum):
    RED = "red"


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(values)
def test_text_is_what_truss_writes(value: Any) -> None:
    assert encode_json(value) == json.dumps(value).encode()


@given(values)
def test_values_survive_the_way_there_and_back(value: Any) -> None:
    assert decode_json(encode_json(value)) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.int64(3), "3"),
        (np.float32(1.5), "1.5"),
        (np.longdouble(1.5), "1.5"),
        (np.bool_(True), "true"),
        (np.array([[1, 2], [3, 4]]), "[[1, 2], [3, 4]]"),
        (np.array([np.float32(0.5), None], object), "[0.5, null]"),
        (np.str_("a"), '"a"'),
        (datetime(2024, 1, 2, 3, tzinfo=UTC), '"2024-01-02T03:00:00Z"'),
        (datetime(2024, 1, 2, tzinfo=timezone(timedelta(hours=1))), '"2024-01-02T00:00:00+01:00"'),
        (date(2024, 1, 2), '"2024-01-02"'),
        (time(3, 4), '"03:04:00"'),
        (timedelta(minutes=1, milliseconds=500), "60.5"),
        (Decimal("1.250"), '"1.250"'),
        (UUID(int=5), '"00000000-0000-0000-0000-000000000005"'),
        (Colour.RED, '"red"'),
        (Word(text="a", at=date(2024, 1, 2)), '{"text": "a", "at": "2024-01-02"}'),
        (OldWord(text="a", at=date(2024, 1, 2)), '{"text": "a", "at": "2024-01-02"}'),
        (Point(1, of=Point(2)), '{"x": 1, "of": {"x": 2, "of": null}}'),
        (float("nan"), "NaN"),
        ("é😀\ud800", '"\\u00e9\\ud83d\\ude00\\ud800"'),
    ],
    ids=repr,
)
def test_values_beyond_json_are_encoded_at_any_depth(value: Any, text: str) -> None:
    assert encode_json({"deep": [value]}).decode() == f'{{"deep": [{text}]}}'


@pytest.mark.parametrize(
    "value", [b"bytes", {1, 2}, object(), 1j, Point, {(1, 2): 3}], ids=lambda value: type(value).__name__
)
def test_values_without_a_form_are_type_errors(value: Any) -> None:
    with pytest.raises(TypeError, match=r"JSON serializable|keys must be"):
        encode_json([value])


def test_value_that_contains_itself_is_a_value_error() -> None:
    value: list[Any] = []
    value.append(value)

    with pytest.raises(ValueError, match="Circular"):
        encode_json(value)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "^Expecting value: line 1 column 1"),
        (b"{", "Expecting property name"),
        (b'{"a": 1} x', "Extra data"),
        (b'"\xff"', "codec can't decode"),
        (b"[" * 1_000_000, "nested too deeply"),
        (b'{"a":' * 1_000_000, "nested too deeply"),
        (b"1" * 5000, "limit"),
    ],
    ids=["empty", "cut", "extra", "not-utf-8", "lists", "maps", "digits"],
)
def test_bad_bodies_are_value_errors(body: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        decode_json(body)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings_are_told_from_the_first_bytes(encoding: str) -> None:
    assert decode_json('{"a": "é"}'.encode(encoding)) == {"a": "é"}


def test_nan_is_read_as_truss_reads_it() -> None:
    assert str(decode_json(b"[NaN, -Infinity]")) == "[nan, -inf]"


@pytest.mark.parametrize("kind", [Word, OldWord])
def test_models_of_both_versions_are_models(kind: Any) -> None:
    model = kind(text="a", at=date(2024, 1, 2))

    assert is_model_class(kind)
    assert is_model(model)
    assert dump_model(model, as_json=True) == {"text": "a", "at": "2024-01-02"}
    assert dump_model(model, as_json=False) == {"text": "a", "at": date(2024, 1, 2)}
    assert json.loads(dump_model_json(model)) == {"text": "a", "at": "2024-01-02"}


@pytest.mark.parametrize("kind", [dict, Point, list[Word], Word | None, "Word", None])
def test_anything_else_is_no_model_class(kind: Any) -> None:
    assert not is_model_class(kind)
    assert not is_model(kind)


def test_model_may_write_its_own_json() -> None:
    class Custom(BaseModel):
        x: int

        def model_dump_json(self, **_: Any) -> str:
            return '{"own":true}'

    assert dump_model_json(Custom(x=1)) == '{"own":true}'
