"""truss.md sections 2.2 and 2.3: MessagePack, pydantic, and the schema."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

import msgpack  # type: ignore[import-untyped]  # it comes without types
import pytest

from penstock_testing.truss_conformance import MSGPACK, ModelDoor

Door = Callable[[str], ModelDoor]


def test_a_pydantic_model_is_validated_and_dumped(door: Door) -> None:
    value = {"prompt": "cat", "size": 2, "boxes": [{"label": "a", "score": 0.2}, {"label": "b", "score": 0.9}]}

    assert door("pydantic-io").predict(value) == {"prompt": "cat", "area": 4, "best": {"label": "b", "score": 0.9}}


def test_defaults_of_a_pydantic_model_apply(door: Door) -> None:
    assert door("pydantic-io").predict({"prompt": "cat"}) == {"prompt": "cat", "area": 512**2, "best": None}


def test_input_that_does_not_fit_is_400_and_names_the_field(door: Door) -> None:
    answer = door("pydantic-io").call({"size": 2})

    assert (answer.status, answer.code, answer.source) == (400, "700", "04")
    assert answer.error.startswith("Input Parsing Error:\n  `prompt`: ")


def test_several_wrong_fields_are_all_named(door: Door) -> None:
    answer = door("pydantic-io").call({"size": "large", "boxes": [{"label": "a", "score": 7}]})

    assert answer.status == 400
    assert answer.error.startswith("Input Parsing Errors:\n")
    for field in ("`prompt`", "`size`", "`boxes[0].score`"):
        assert field in answer.error


def test_a_union_of_model_and_generator_gives_either(door: Door) -> None:
    model = door("pydantic-stream")

    assert model.predict({"words": ["a", "b"]}) == {"text": "a b"}
    with model.stream({"words": ["a", "b"], "stream": True}) as streamed:
        assert streamed.rest() == [b"a", b"b"]


def test_the_schema_of_input_and_output(door: Door) -> None:
    answer = door("pydantic-io").get("sync/v1/models/model/schema")

    schema = answer.json()
    assert (answer.status, sorted(schema)) == (200, ["input_schema", "output_schema", "supports_streaming"])
    assert schema["input_schema"]["required"] == ["prompt"]
    assert "area" in schema["output_schema"]["properties"]
    assert schema["supports_streaming"] is False


def test_the_schema_of_a_union_supports_streaming(door: Door) -> None:
    schema = door("pydantic-stream").get("sync/v1/models/model/schema").json()

    assert schema["supports_streaming"] is True
    assert schema["output_schema"]["title"] == "Answer"


def test_a_model_without_annotations_has_no_schema(door: Door) -> None:
    assert door("sync-predict").get("sync/v1/models/model/schema").status == 404


@pytest.mark.parametrize("body", [b"", b"{", b'{"a": }', b"\xff\xfe", b"[" * 100_000])
def test_a_body_that_is_no_json_is_400(door: Door, body: bytes) -> None:
    answer = door("sync-predict").call(body=body)

    assert (answer.status, answer.code, answer.source) == (400, "700", "04")
    assert isinstance(answer.error, str)


def test_the_place_of_wrong_json_is_told_in_the_words_of_truss(door: Door) -> None:
    answer = door("sync-predict").call(body=b"[1,")

    assert answer.error == "Invalid JSON payload: Expecting value: line 1 column 4 (char 3)"


def test_numpy_values_become_json(door: Door) -> None:
    assert door("binary-numpy").predict({"json": True}) == {"array": [0, 1, 2], "scalar": 0.5, "flag": True}


def array_bytes(kind: str, shape: tuple[int, ...], data: bytes) -> dict[bytes, Any]:
    """An array as msgpack-numpy writes it, which is what clients of Truss send."""
    return {b"nd": True, b"type": kind, b"kind": b"", b"shape": shape, b"data": data}


def binary(model: ModelDoor, value: Any, content_type: str = MSGPACK) -> Any:
    """Sends `value` as MessagePack and returns the answer, with the marked mappings of Truss left as they are."""
    answer = model.call(body=msgpack.packb(value), headers={"Content-Type": content_type})
    assert (answer.status, answer.headers.get_content_type()) == (200, MSGPACK), answer.body
    return msgpack.unpackb(answer.body)


@pytest.mark.parametrize(
    "content_type", [MSGPACK, "Application/Octet-Stream", "application/octet-stream; charset=binary"]
)
def test_a_binary_request_gets_a_binary_answer_with_arrays(door: Door, content_type: str) -> None:
    value = {"array": array_bytes("<f8", (2, 1), struct.pack("<2d", 1.5, 2))}

    told = binary(door("binary-numpy"), value, content_type)

    assert told["doubled"] == {**array_bytes("<f4", (2, 1), struct.pack("<2f", 3, 4)), b"shape": [2, 1]}
    assert told["sum"] == {b"nd": False, b"type": "<f4", b"data": struct.pack("<f", 3.5)}
    assert (told["shape"], told["raw"]) == ([2, 1], struct.pack("<f", 1.5))


def test_dates_times_decimals_and_uuids_keep_their_types(door: Door) -> None:
    value = {
        "datetime": {b"__dt_datetime_iso__": True, b"data": "2026-01-02T03:04:05Z"},
        "date": {b"__dt_date_iso__": True, b"data": "2026-01-02"},
        "time": {b"__dt_time_iso__": True, b"data": "03:04:05"},
        "delta": {b"__dt_timedelta__": True, b"data": (1, 2, 3)},
        "decimal": {b"__decimal__": True, b"data": "1.5"},
        "uuid": {b"__uuid__": True, b"data": "00000000-0000-0000-0000-000000000007"},
        "bytes": b"x",
    }

    told = binary(door("binary-numpy"), {"types": value})

    assert told.pop("received") == {
        "datetime": "datetime",
        "date": "date",
        "time": "time",
        "delta": "timedelta",
        "decimal": "Decimal",
        "uuid": "UUID",
        "bytes": "bytes",
    }
    assert told == {
        "datetime": {b"__dt_datetime_iso__": True, b"data": "2026-01-02T03:04:05.000678"},
        "date": {b"__dt_date_iso__": True, b"data": "2026-01-02"},
        "time": {b"__dt_time_iso__": True, b"data": "03:04:05"},
        "timedelta": {b"__dt_timedelta__": True, b"data": [1, 2, 0]},
        "decimal": {b"__decimal__": True, b"data": "1.50"},
        "uuid": {b"__uuid__": True, b"data": "00000000-0000-0000-0000-000000000007"},
    }


def test_the_path_predict_binary_is_served(door: Door) -> None:
    answer = door("binary-numpy").call(
        body=msgpack.packb({"x": b"y"}),
        endpoint="sync/v1/models/model:predict_binary",
        headers={"Content-Type": MSGPACK},
    )

    assert msgpack.unpackb(answer.body) == {"x": b"y"}


@pytest.mark.parametrize("body", [b"\xc1", b"\x81", b"", b"\xdf\xff\xff\xff\xff"])
def test_a_body_that_is_no_messagepack_is_400(door: Door, body: bytes) -> None:
    answer = door("binary-numpy").call(body=body, headers={"Content-Type": MSGPACK})

    assert (answer.status, answer.code) == (400, "700")


def test_an_array_of_objects_is_never_unpickled(door: Door) -> None:
    """Section 10, 6: what looks like a pickled array is refused."""
    pickled = {**array_bytes("|O", (1,), b"cos\nsystem\n(S'true'\ntR."), b"kind": b"O"}
    body = msgpack.packb({"array": pickled})

    answer = door("binary-numpy").call(body=body, headers={"Content-Type": MSGPACK})

    assert (answer.status, answer.code) == (400, "700")


def test_a_pydantic_input_is_validated_from_messagepack(door: Door) -> None:
    assert binary(door("pydantic-io"), {"prompt": "cat", "size": 3})["area"] == 9


def test_an_error_of_a_binary_request_is_json(door: Door) -> None:
    answer = door("failing").call(body=msgpack.packb({"kind": "raise"}), headers={"Content-Type": MSGPACK})

    assert (answer.status, json.loads(answer.body)) == (500, {"error": "Internal Server Error (in model/chainlet)."})
