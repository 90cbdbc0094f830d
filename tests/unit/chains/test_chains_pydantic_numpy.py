"""numpy arrays as fields: their JSON, arrays as they are in Python mode, and what is refused."""

from __future__ import annotations

import base64
import json
import pickle
from typing import Any

import numpy as np
import pydantic
import pytest

from penstock.chains.pydantic_numpy import NumpyArrayField


class Model(pydantic.BaseModel):
    array: NumpyArrayField


def model_of(array: Any) -> Model:
    return Model(array=array)


def test_json_is_the_form_of_truss() -> None:
    dumped = model_of(np.arange(3, dtype="int64")).model_dump_json()
    assert dumped == '{"array":{"data_b64":"AAAAAAAAAAABAAAAAAAAAAIAAAAAAAAA","shape":[3],"dtype":"int64"}}'


@pytest.mark.parametrize(
    "array",
    [
        pytest.param(np.arange(6).reshape(2, 3), id="matrix"),
        pytest.param(np.arange(6).reshape(2, 3).T, id="transposed"),
        pytest.param(np.arange(10)[::3], id="strided"),
        pytest.param(np.arange(4, dtype=">i4"), id="big_endian"),
        pytest.param(np.arange(4, dtype="<f2"), id="half"),
        pytest.param(np.array(5.5), id="no_dimensions"),
        pytest.param(np.zeros((2, 0, 3)), id="empty"),
        pytest.param(np.array([True, False]), id="bool"),
        pytest.param(np.array([1 + 2j, -1j]), id="complex"),
        pytest.param(np.array(["2020-01-01", "NaT"], dtype="datetime64[ns]"), id="datetime"),
        pytest.param(np.array([3], dtype="timedelta64[s]"), id="timedelta"),
        pytest.param(np.array(["a", "bcd", ""]), id="text"),
        pytest.param(np.array([b"x", b""]), id="bytes"),
        pytest.param(np.array([""]), id="empty_texts"),
        pytest.param(np.array([np.nan, np.inf]), id="not_numbers"),
    ],
)
def test_an_array_comes_back_from_json(array: np.ndarray[Any, Any]) -> None:
    back = Model.model_validate_json(model_of(array).model_dump_json()).array.array
    assert back.dtype == array.dtype and back.shape == array.shape
    assert back.tobytes() == array.tobytes()


def test_python_mode_keeps_the_very_array() -> None:
    array = np.arange(3)
    model = model_of(array)
    assert model.array.array is array
    assert model.model_dump()["array"] is array
    assert Model.model_validate(model.model_dump()).array.array is array
    assert model_of(model.array).array is model.array


def test_arrays_stand_in_lists_and_optional_fields() -> None:
    class Nested(pydantic.BaseModel):
        one: NumpyArrayField | None = None
        many: list[NumpyArrayField] = []

    given: Any = [np.arange(2), np.arange(3)]
    back = Nested.model_validate_json(Nested(many=given).model_dump_json())
    assert back.one is None and [field.array.tolist() for field in back.many] == [[0, 1], [0, 1, 2]]


def test_models_with_arrays_can_be_copied_and_pickled() -> None:
    model = model_of(np.arange(3))
    copies: list[Model] = [model.model_copy(deep=True), pickle.loads(pickle.dumps(model))]
    assert [copy.array.array.tolist() for copy in copies] == [[0, 1, 2]] * 2


@pytest.mark.parametrize(
    "array",
    [
        pytest.param(np.array([object()]), id="objects"),
        pytest.param(np.array([(1, object())], dtype=[("a", "i4"), ("b", "O")]), id="object_in_structure"),
    ],
)
def test_arrays_of_objects_are_refused(array: Any) -> None:
    with pytest.raises(ValueError, match=r"arrays of objects .* cannot travel: .* pickled"):
        model_of(array).model_dump_json()


def test_structured_arrays_have_no_json() -> None:
    with pytest.raises(ValueError, match=r"structured arrays .* one array per field, or use_binary"):
        model_of(np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")])).model_dump_json()


EXPECTED = "Expected a NumPy array or a dictionary with keys {'data_b64', 'shape', 'dtype'}"
BAD = "Invalid data, shape, or dtype for NumPy array: "
EIGHT = base64.b64encode(bytes(8)).decode()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param([1, 2], EXPECTED, id="list"),
        pytest.param(None, EXPECTED, id="none"),
        pytest.param({"data_b64": "", "shape": [0]}, EXPECTED, id="key_missing"),
        pytest.param({"data_b64": "!!", "shape": [1], "dtype": "int8"}, BAD + "data is not base64", id="base64"),
        pytest.param({"data_b64": 1, "shape": [1], "dtype": "int8"}, BAD + "data must be base64 text", id="data"),
        pytest.param({"data_b64": "AAAA", "shape": [1], "dtype": "int8"}, BAD + "cannot reshape", id="too_much"),
        pytest.param({"data_b64": "AAAA", "shape": [1 << 70], "dtype": "int8"}, BAD, id="huge_shape"),
        pytest.param({"data_b64": "AAAA", "shape": ["3"], "dtype": "int8"}, BAD + "shape must be", id="shape"),
        pytest.param({"data_b64": "AAAA", "shape": [1], "dtype": "nope"}, BAD, id="dtype"),
        pytest.param({"data_b64": "AAAA", "shape": [1], "dtype": "(("}, BAD, id="dtype_syntax"),
        pytest.param({"data_b64": EIGHT, "shape": [1], "dtype": "O"}, BAD + "arrays of objects", id="objects"),
        pytest.param({"data_b64": EIGHT, "shape": [1], "dtype": "i4,O"}, BAD + "arrays of objects", id="object_field"),
        pytest.param({"data_b64": EIGHT, "shape": [1], "dtype": "i4,i4"}, BAD + "structured", id="structure"),
        pytest.param({"data_b64": "", "shape": [1 << 40], "dtype": "S0"}, BAD, id="elements_of_no_size"),
    ],
)
def test_bad_json_is_a_validation_error(value: object, text: str) -> None:
    with pytest.raises(pydantic.ValidationError) as caught:
        Model.model_validate_json(json.dumps({"array": value}))
    assert text in str(caught.value)


def test_a_bad_value_is_shown_shortened() -> None:
    with pytest.raises(pydantic.ValidationError) as caught:
        Model.model_validate({"array": "x" * 100_000})
    assert len(caught.value.errors()[0]["msg"]) < 400


def test_schema_describes_the_json() -> None:
    properties = Model.model_json_schema()["properties"]["array"]["properties"]
    assert set(properties) == {"data_b64", "shape", "dtype"}
