"""numpy arrays as fields of pydantic models."""

from __future__ import annotations

import base64
import binascii
import sys
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic_core import PydanticCustomError, core_schema

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue

_TEXT_SHOWN_MAX = 200
"""Characters of a bad value in an error."""


class NumpyArrayField:
    """A numpy array as a field of a pydantic model; the array is at `.array`.

    A field takes an array, a NumpyArrayField, or the object that JSON has for it:
    `{"data_b64": elements in C order as base64, "shape": list of int, "dtype": name with byte order}`. Dumped in Python
    mode it is the array itself, so binary encodings need no base64. Arrays from JSON are read-only. Arrays whose
    elements are more than their bytes (Python objects, numpy's own strings, structures) have no JSON: objects would
    have to be pickled, and a pickle runs code.
    """

    data_key: ClassVar[str] = "data_b64"
    shape_key: ClassVar[str] = "shape"
    dtype_key: ClassVar[str] = "dtype"

    array: NDArray[Any]

    def __init__(self, array: NDArray[Any]) -> None:
        self.array = array

    def __repr__(self) -> str:
        return f"NumpyArrayField(shape={self.array.shape}, dtype={self.array.dtype}, data={self.array})"

    @classmethod
    def __get_pydantic_core_schema__(cls, source_type: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Tells pydantic how to check and dump a field."""
        return core_schema.no_info_plain_validator_function(
            cls.validate_numpy_array,
            serialization=core_schema.plain_serializer_function_ser_schema(cls.serialize_numpy_array, info_arg=True),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, _core_schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Describes the JSON."""
        return {
            "type": "object",
            "properties": {
                cls.data_key: {"type": "string", "format": "byte"},
                cls.shape_key: {"type": "array", "items": {"type": "integer"}},
                cls.dtype_key: {"type": "string"},
            },
            "required": [cls.data_key, cls.shape_key, cls.dtype_key],
        }

    @classmethod
    def validate_numpy_array(cls, value: Any) -> NumpyArrayField:
        """Returns `value` as a field's value.

        Raises:
            PydanticCustomError: it is no array, or not the JSON of one; pydantic makes a ValidationError of it.
        """
        if isinstance(value, cls):
            return value
        loaded = sys.modules.get("numpy")  # who has no numpy can have no array
        if loaded is not None and isinstance(value, loaded.ndarray):
            return cls(value)
        keys = (cls.data_key, cls.shape_key, cls.dtype_key)
        if not isinstance(value, dict) or any(key not in value for key in keys):
            raise _invalid(
                f"Expected a NumPy array or a dictionary with keys {{{', '.join(map(repr, keys))}}}.\n"
                f"Got:\n{_shortened(value)}"
            )
        try:
            return cls(_decoded(*(value[key] for key in keys)))
        except (ValueError, TypeError, OverflowError, SyntaxError, ImportError) as exc:
            # SyntaxError: numpy parses the names of dtypes with Python's parser.
            raise _invalid(f"Invalid data, shape, or dtype for NumPy array: {_shortened(exc)}") from exc

    @classmethod
    def serialize_numpy_array(
        cls, obj: NumpyArrayField, info: core_schema.SerializationInfo[Any]
    ) -> NDArray[Any] | dict[str, Any]:
        """Returns the array itself, in JSON mode its JSON.

        Raises:
            ValueError: JSON of an array of objects or structures is asked for.
        """
        array = obj.array
        if info.mode != "json":
            return array
        _check_plain(array.dtype)
        contiguous = array if array.flags.c_contiguous else array.copy(order="C")
        # A view as bytes: datetimes have no buffer that Python can name. 0-d arrays cannot be viewed otherwise.
        data = contiguous.reshape(-1).view("uint8").data if array.size and array.itemsize else b""
        return {
            cls.data_key: base64.b64encode(data).decode("ascii"),
            cls.shape_key: list(array.shape),
            cls.dtype_key: str(array.dtype),
        }


def _decoded(data_b64: Any, shape: Any, dtype_name: Any) -> NDArray[Any]:
    """Raises ValueError, TypeError, OverflowError, SyntaxError, or ImportError."""
    if not isinstance(data_b64, (str, bytes)):
        raise ValueError(f"data must be base64 text, not {type(data_b64).__name__}")
    if not isinstance(dtype_name, str):
        raise ValueError(f"dtype must be text, not {type(dtype_name).__name__}")
    if not isinstance(shape, (list, tuple)) or not all(type(n) is int and n >= -1 for n in shape):
        raise ValueError("shape must be a list of integers")
    try:
        import numpy
    except ImportError:
        raise ImportError("numpy is not installed; add it to the chainlet's requirements") from None
    dtype = numpy.dtype(dtype_name)
    _check_plain(dtype)
    try:
        data = base64.b64decode(data_b64, validate=True)
    except binascii.Error as exc:
        raise ValueError(f"data is not base64: {exc}") from None
    return numpy.frombuffer(data, dtype=dtype).reshape(shape)


def _check_plain(dtype: numpy.dtype[Any]) -> None:
    if dtype.hasobject:
        raise ValueError(
            f"arrays of objects (dtype {dtype}) cannot travel: their elements would have to be pickled; "
            "convert the array to a numeric or text dtype, or use a list"
        )
    if dtype.kind == "V":
        raise ValueError(f"structured arrays (dtype {dtype}) have no JSON form; use one array per field, or use_binary")


def _invalid(text: str) -> PydanticCustomError:
    return PydanticCustomError("numpy_array_validation", "{text}", {"text": text})


def _shortened(value: object) -> str:
    text = str(value)
    return text if len(text) <= _TEXT_SHOWN_MAX else text[:_TEXT_SHOWN_MAX] + "…"
