"""Typed items in a stream of bytes: the form on the wire, the order of parts, and what is said of broken streams."""

from __future__ import annotations

import asyncio
import re
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pydantic
import pytest

from penstock.chains import streaming


class Header(pydantic.BaseModel):
    time: float
    message: str


class Item(pydantic.BaseModel):
    number: int
    text: str = ""


class Footer(pydantic.BaseModel):
    duration: int


FULL = streaming.stream_types(Item, header_type=Header, footer_type=Footer)
BARE = streaming.stream_types(Item)

HEADER = b'\x02\x00\x00\x00\x1b{"time":1.5,"message":"\xc3\xa9"}'
ITEM = b'\x03\x00\x00\x00\x16{"number":1,"text":""}'
FOOTER = b'\x04\x00\x00\x00\x0e{"duration":3}'


async def pieces(*data: bytes) -> AsyncIterator[bytes]:
    for piece in data:
        yield piece


async def items_of(reader: streaming.StreamReader[Item, Any, Any]) -> list[Item]:
    return [item async for item in reader.read_items()]


def test_writer_makes_tagged_json() -> None:
    writer = streaming.stream_writer(FULL)
    assert writer.yield_header(Header(time=1.5, message="é")) == HEADER
    assert writer.yield_item(Item(number=1)) == ITEM
    assert writer.yield_footer(Footer(duration=3)) == FOOTER


@pytest.mark.parametrize("size", [1, 3, 5, 7, 1000])
def test_reader_finds_the_parts_in_pieces_of_any_size(size: int) -> None:
    async def scenario() -> None:
        whole = HEADER + ITEM + ITEM + FOOTER
        cut = [whole[at : at + size] for at in range(0, len(whole), size)]
        reader = streaming.stream_reader(FULL, pieces(*cut))
        assert await reader.read_header() == Header(time=1.5, message="é")
        assert await items_of(reader) == [Item(number=1), Item(number=1)]
        assert await reader.read_footer() == Footer(duration=3)
        assert await items_of(reader) == []

    asyncio.run(scenario())


def test_reader_and_writer_have_only_what_the_types_have() -> None:
    for header in (None, Header):
        for footer in (None, Footer):
            types: Any = streaming.StreamTypes(Item, header, footer)
            reader, writer = streaming.stream_reader(types, pieces()), streaming.stream_writer(types)
            assert hasattr(reader, "read_header") == hasattr(writer, "yield_header") == (header is not None)
            assert hasattr(reader, "read_footer") == hasattr(writer, "yield_footer") == (footer is not None)
            assert hasattr(reader, "read_items") and hasattr(writer, "yield_item")


def test_types_of_two_calls_are_equal() -> None:
    bare: object = BARE
    assert streaming.stream_types(Item, header_type=Header, footer_type=Footer) == FULL != bare


def test_writer_refuses_parts_out_of_order() -> None:
    writer = streaming.stream_writer(FULL)
    writer.yield_item(Item(number=1))
    with pytest.raises(ValueError, match=r"^Cannot yield header after other data has been sent\.$"):
        writer.yield_header(Header(time=0, message=""))
    writer.yield_footer(Footer(duration=1))
    with pytest.raises(ValueError, match=r"^Cannot yield item after sending footer / closing stream\.$"):
        writer.yield_item(Item(number=1))


async def _header(reader: Any) -> object:
    return await reader.read_header()


async def _footer(reader: Any) -> object:
    return await reader.read_footer()


async def _items_and_footer(reader: Any) -> object:
    await items_of(reader)
    return await reader.read_footer()


UNREAD_HEADER = (
    "Called `read_items`, but there the stream contains header data, which is not consumed. "
    "Call `read_header` first or remove sending a header."
)
NOT_A_KIND = "9 is not a kind of data in a stream; was it written by a `stream_writer`?"


@pytest.mark.parametrize(
    ("data", "read", "text"),
    [
        pytest.param((ITEM,), _header, "Stream does not contain header.", id="no_header"),
        pytest.param((), _header, "Stream does not contain header.", id="header_of_nothing"),
        pytest.param((ITEM,), _items_and_footer, "Stream does not contain footer.", id="no_footer"),
        pytest.param((), _footer, "Stream does not contain footer.", id="footer_of_nothing"),
        pytest.param((HEADER, ITEM), items_of, UNREAD_HEADER, id="header_was_not_read"),
        pytest.param((ITEM, HEADER), items_of, UNREAD_HEADER, id="header_in_the_middle"),
        pytest.param((struct.pack(">BI", 9, 0),), items_of, NOT_A_KIND, id="unknown_kind"),
        pytest.param(
            (struct.pack(">BI", 3, 1 << 31),),
            items_of,
            "Stream contains data of 2147483648 bytes; the limit is 1073741824.",
            id="more_than_the_limit",
        ),
    ],
)
def test_reader_says_what_a_stream_lacks(
    data: tuple[bytes, ...], read: Callable[[Any], Awaitable[object]], text: str
) -> None:
    async def scenario() -> None:
        with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
            await read(streaming.stream_reader(FULL, pieces(*data)))

    asyncio.run(scenario())


def test_header_can_still_be_read_after_the_mistake() -> None:
    async def scenario() -> None:
        reader = streaming.stream_reader(FULL, pieces(HEADER, ITEM))
        with pytest.raises(ValueError, match="Called `read_items`"):
            await items_of(reader)
        assert (await reader.read_header()).time == 1.5
        assert len(await items_of(reader)) == 1

    asyncio.run(scenario())


@pytest.mark.parametrize("kept", [1, 4, 5, 7])
def test_a_stream_that_ends_inside_a_part_is_an_error(kept: int) -> None:
    async def scenario() -> None:
        reader = streaming.stream_reader(BARE, pieces(ITEM, ITEM[:kept]))
        items = reader.read_items()
        assert await anext(items) == Item(number=1)
        with pytest.raises(asyncio.IncompleteReadError):
            await anext(items)

    asyncio.run(scenario())


def test_an_item_of_another_shape_is_a_validation_error() -> None:
    async def scenario() -> None:
        with pytest.raises(pydantic.ValidationError, match="1 validation error for Item"):
            await items_of(streaming.stream_reader(BARE, pieces(FOOTER.replace(b"\x04", b"\x03", 1))))

    asyncio.run(scenario())


def test_errors_of_the_source_come_through() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield ITEM
        raise ConnectionError("gone")

    async def scenario() -> None:
        with pytest.raises(ConnectionError, match="gone"):
            await items_of(streaming.stream_reader(BARE, broken()))

    asyncio.run(scenario())
