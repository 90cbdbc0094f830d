"""Which types arguments and results of endpoints may have, and what is said of the others."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Iterator
from typing import Any, Generic, Literal, TypeVar

import pydantic
import pytest

from penstock.chains.problems import Place, Problems
from penstock.chains.validation_types import check_io_type, is_async_iterator, is_io_type, is_iterator
from penstock_testing.chain_kit import Define, problems_of

T = TypeVar("T")
SUPPORTED = """ Supported are:
\t* simple types: ['int', 'float', 'complex', 'bool', 'str', 'bytes', 'None', 'BaseModel']
\t* containers of these simple types, with annotated item types: ['dict', 'list'], \
e.g. `dict[str, int]` (use built-in types, not `typing.Dict`).
\t* For complicated / nested data structures: `pydantic` models."""


class Point(pydantic.BaseModel):
    x: int | None = None


class Box(pydantic.BaseModel, Generic[T]):
    content: T


class Color(enum.IntEnum):
    RED = 1


class Text(str):
    pass


@pytest.mark.parametrize(
    "annotation",
    [
        int,
        float,
        complex,
        bool,
        str,
        bytes,
        None,
        Point,
        Box[int],
        pydantic.BaseModel,
        list[int],
        list[None],
        list[Point],
        dict[str, float],
        dict[int, Point],
    ],
    ids=repr,
)
def test_simple_types_models_and_flat_containers_can_be_sent(annotation: Any) -> None:
    assert is_io_type(annotation)


@pytest.mark.parametrize(
    "annotation",
    [
        list,
        dict,
        object,
        Any,
        "int",
        list[object],
        list["int"],
        list[list[int]],
        dict[str, list[int]],
        set[int],
        tuple[int, int],
        int | None,
        int | str,
        Literal["a"],
        Color,
        Text,
        type(None),
        memoryview,
        AsyncIterator[str],
        ...,
    ],
    ids=repr,
)
def test_everything_else_cannot(annotation: Any) -> None:
    assert not is_io_type(annotation)


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("int | None", "int | None"),
        ("object", "<class 'object'>"),
        ("list", "<class 'list'>"),
        ("list[object]", "list[object]"),
        ("dict[str, list[int]]", "dict[str, list[int]]"),
        ("typing.List[int]", "typing.List[int]"),
        ("typing.Optional[int]", "typing.Optional[int]"),
        ("typing.Any", "typing.Any"),
        ("typing.Annotated[int, 3]", "typing.Annotated[int, 3]"),
    ],
)
def test_a_type_that_cannot_be_sent_is_shown_with_what_can(define: Define, source: str, shown: str) -> None:
    problems = problems_of(
        define,
        f"""
import typing
class A(chains.ChainletBase):
    async def run_remote(self, x: {source}) -> {source}: ...
""",
    )

    assert problems == [
        f"5 (A.run_remote) [kind: IO_TYPE_ERROR]: Unsupported I/O type for `{name}` of type `{shown}`.{SUPPORTED}"
        for name in ("x", "return_type")
    ]


def test_items_of_a_tuple_are_shown_by_their_place(define: Define) -> None:
    problems = problems_of(
        define,
        """
class A(chains.ChainletBase):
    async def run_remote(self) -> tuple[int, object, tuple[int, int]]: ...
class B(chains.ChainletBase):
    async def run_remote(self) -> tuple[int, ...]: ...
class C(chains.ChainletBase):
    async def run_remote(self) -> tuple: ...
""",
    )

    head = "[kind: IO_TYPE_ERROR]: Unsupported I/O type for"
    assert problems == [
        f"4 (A.run_remote) {head} `return_type[1]` of type `<class 'object'>`.{SUPPORTED}",
        f"4 (A.run_remote) {head} `return_type[2]` of type `tuple[int, int]`.{SUPPORTED}",
        f"6 (B.run_remote) {head} `return_type[1]` of type `Ellipsis`.{SUPPORTED}",
        f"8 (C.run_remote) {head} `return_type` of type `<class 'tuple'>`.{SUPPORTED}",
    ]


def test_an_annotation_that_is_text_is_refused_with_the_usual_cause() -> None:
    problems = Problems()

    check_io_type("int", "x", Place("my_chain.py"), problems)

    assert [problem.text for problem in problems.found] == [
        "A string-valued type annotation was found for `x` of type `int`. Use only actual types objects and avoid "
        "`from __future__ import annotations` (if needed upgrade python)."
    ]


def test_iterators_are_known_with_and_without_the_type_of_their_items() -> None:
    assert is_async_iterator(AsyncIterator) and is_async_iterator(AsyncIterator[str])
    assert not is_async_iterator(Iterator[str]) and not is_async_iterator(str)
    assert is_iterator(Iterator) and is_iterator(Iterator[str]) and is_iterator(AsyncIterator)
    assert not is_iterator(list[str])
