"""Arguments, results and items of calls between chainlets, as bytes and back. Pure.

| content type | what it holds |
|---|---|
| application/json | arguments: an object by name; a result: a value, or an array for several |
| application/octet-stream | the same in msgpack, as Truss has it |
| application/vnd.penstock.chain | the same, and arrays as their bytes (encoding_buffers); between our chainlets only |
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pydantic_core

from penstock.chains.remote.encoding_buffers import Part, decode_buffers, encode_buffers, encode_special_or_json
from penstock.chains.remote.encoding_types import EndpointTypes, ValueType
from penstock.chains.remote.encoding_types import types_of as types_of
from penstock.payloads.msgpack_codec import pack, unpack

JSON = "application/json"
MSGPACK = "application/octet-stream"
CHAIN = "application/vnd.penstock.chain"

_KNOWN = frozenset({JSON, MSGPACK, CHAIN})


def content_type_of(header: str | None) -> str:
    """Returns which of the three a Content-Type header means: JSON for every other one, and for none."""
    if header is None or header in _KNOWN:
        return header or JSON
    kind = header.partition(";")[0].strip().lower()
    return kind if kind in _KNOWN else JSON


def encode_arguments(types: EndpointTypes, values: Mapping[str, Any], content_type: str) -> tuple[Part, ...]:
    """Returns the body of a call, as parts.

    Args:
        types: Of the endpoint that is called.
        values: By name; those that are not there take the callee's default.
        content_type: One of the three.

    Raises:
        pydantic.ValidationError: A value is not what the endpoint takes.
        ValueError, TypeError: A value cannot be sent in this content type.
    """
    return _encode(types.arguments, values, content_type)


def decode_arguments(types: EndpointTypes, body: Part, content_type: str) -> dict[str, Any]:
    """Returns the arguments of a call by name, without those that were not sent.

    Raises:
        pydantic.ValidationError: One is missing, or not what the endpoint takes.
        ValueError: The body is not of this content type.
    """
    if not body:
        body = _EMPTY[content_type]
    decoded: dict[str, Any] = _decode(types.arguments, body, content_type)
    return decoded


def encode_result(types: EndpointTypes, value: Any, content_type: str) -> tuple[Part, ...]:
    """Returns the body of a response, as parts.

    Raises:
        pydantic.ValidationError: The value is not what the endpoint promises.
        ValueError, TypeError: It cannot be sent in this content type.
    """
    return _encode(_present(types.result, "result"), value, content_type)


def decode_result(types: EndpointTypes, body: Part, content_type: str) -> Any:
    """Returns the result of a call: a tuple for several.

    Raises:
        pydantic.ValidationError: It is not what the endpoint promises.
        ValueError: The body is not of this content type.
    """
    return _decode(_present(types.result, "result"), body, content_type)


def encode_item(types: EndpointTypes, item: Any, content_type: str) -> tuple[Part, ...]:
    """Returns one item that the callee sends. Raises as encode_result does."""
    return _encode(_present(types.item, "items of a result"), item, content_type)


def decode_item(types: EndpointTypes, data: Part, content_type: str) -> Any:
    """Returns one item that the callee has sent. Raises as decode_result does."""
    return _decode(_present(types.item, "items of a result"), data, content_type)


def encode_input_item(types: EndpointTypes, item: Any, content_type: str) -> tuple[Part, ...]:
    """Returns one item that the caller sends. Raises as encode_result does."""
    return _encode(_present(types.input_item, "items of an argument"), item, content_type)


def decode_input_item(types: EndpointTypes, data: Part, content_type: str) -> Any:
    """Returns one item that the caller has sent. Raises as decode_result does."""
    return _decode(_present(types.input_item, "items of an argument"), data, content_type)


def encode_value(kind: ValueType | None, value: Any, content_type: str) -> tuple[Part, ...]:
    """Returns `value` as parts of a body. Models in it become maps.

    Args:
        kind: What `value` must be; None for plain values and models of any kind.

    Raises:
        pydantic.ValidationError: It is not of that kind.
        ValueError, TypeError: It cannot be sent in this content type.
    """
    if kind is not None:
        return _encode(kind, value, content_type)
    if content_type == JSON:
        return (pydantic_core.to_json(value, inf_nan_mode="constants"),)
    if content_type == MSGPACK:
        return (pack(value, encode_special_or_json),)
    return encode_buffers(value)


def decode_value(kind: ValueType | None, body: Part, content_type: str) -> Any:
    """Returns the value of a body.

    Args:
        kind: What it must be; None for plain values.

    Raises:
        pydantic.ValidationError: It is not of that kind.
        ValueError: The body is not of this content type.
    """
    if kind is not None:
        return _decode(kind, body, content_type)
    if content_type == JSON:
        return pydantic_core.from_json(_buffer(body))
    return _unpacked(body, content_type)


def _encode(kind: ValueType, value: Any, content_type: str) -> tuple[Part, ...]:
    checked = kind.validator.validate_python(value)
    if content_type == JSON:
        try:
            return (kind.serializer.to_json(checked),)
        except UnicodeDecodeError as exc:
            raise _not_text(exc) from exc
        except pydantic_core.PydanticSerializationError as exc:
            if "utf-8" in str(exc):
                raise _not_text(exc) from exc
            raise
    plain = kind.serializer.to_python(checked)
    if content_type == MSGPACK:
        return (pack(plain, encode_special_or_json),)
    return encode_buffers(plain)


def _decode(kind: ValueType, body: Part, content_type: str) -> Any:
    if content_type == JSON:
        return kind.validator.validate_json(_buffer(body))
    return kind.validator.validate_python(_unpacked(body, content_type))


def _unpacked(body: Part, content_type: str) -> Any:
    if content_type == MSGPACK:
        return unpack(body, any_keys=True)
    return decode_buffers(body)


def _buffer(body: Part) -> bytes:
    # pydantic takes no memoryview.
    return body if isinstance(body, bytes) else bytes(body)


def _not_text(exc: Exception) -> ValueError:
    return ValueError(f"bytes that are no UTF-8 cannot be sent as JSON ({exc}); use `use_binary=True` for this call")


def _present(kind: ValueType | None, what: str) -> ValueType:
    if kind is None:
        raise ValueError(f"the endpoint has no {what}")
    return kind


_EMPTY: dict[str, bytes] = {JSON: b"{}", MSGPACK: b"\x80", CHAIN: b"".join(encode_buffers({}))}
"""What no body at all stands for, as arguments."""
