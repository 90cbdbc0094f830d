"""Types of arguments and results of endpoints. Pure."""

from __future__ import annotations

import collections.abc
import inspect
from typing import Any, get_args, get_origin

import pydantic

from penstock.chains.problems import Place, ProblemKind, Problems

SIMPLE_TYPES: tuple[Any, ...] = (int, float, complex, bool, str, bytes, None)
STREAM_TYPES: tuple[Any, ...] = (bytes, str)
"""What a stream that is no conversation may yield."""
RETURN_NAME = "return_type"

_SIMPLE_NAMES = [getattr(kind, "__name__", "None") for kind in (*SIMPLE_TYPES, pydantic.BaseModel)]
_ITERATORS = (collections.abc.AsyncIterator, collections.abc.Iterator)


def is_io_type(annotation: Any) -> bool:
    """Whether values of the type can be sent: a simple type, a pydantic model, or a list or dict of these."""
    if is_simple_type(annotation):
        return True
    if get_origin(annotation) not in (list, dict) or annotation.__class__.__module__ == "typing":
        return False
    return all(is_simple_type(item) for item in get_args(annotation))


def is_simple_type(annotation: Any) -> bool:
    """Whether it is a simple type or a pydantic model. Subclasses of `int`, enums and the like are not."""
    if inspect.isclass(annotation):
        if issubclass(annotation, pydantic.BaseModel):
            return True
        return any(annotation is kind for kind in SIMPLE_TYPES)
    return annotation is None


def is_iterator(annotation: Any) -> bool:
    """Whether it is `AsyncIterator` or `Iterator`, with an item type or without."""
    return get_origin(annotation) in _ITERATORS or annotation in _ITERATORS


def is_async_iterator(annotation: Any) -> bool:
    """Whether it is `AsyncIterator`, with an item type or without."""
    return (get_origin(annotation) or annotation) is collections.abc.AsyncIterator


def check_io_type(annotation: Any, name: str, place: Place, problems: Problems) -> None:
    """Notes it when values of the type of `name` cannot be sent."""
    if isinstance(annotation, str):
        problems.add(string_annotation(annotation, name), ProblemKind.IO_TYPE_ERROR, place)
    elif not is_io_type(annotation):
        problems.add(
            f"Unsupported I/O type for `{name}` of type `{annotation}`. Supported are:\n"
            f"\t* simple types: {_SIMPLE_NAMES}\n"
            "\t* containers of these simple types, with annotated item types: ['dict', 'list'], "
            "e.g. `dict[str, int]` (use built-in types, not `typing.Dict`).\n"
            "\t* For complicated / nested data structures: `pydantic` models.",
            ProblemKind.IO_TYPE_ERROR,
            place,
        )


def string_annotation(annotation: str, name: str) -> str:
    """Returns the text for an annotation that is a string."""
    return (
        f"A string-valued type annotation was found for `{name}` of type `{annotation}`. Use only actual types objects "
        "and avoid `from __future__ import annotations` (if needed upgrade python)."
    )
