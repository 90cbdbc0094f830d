"""Typed items in a stream of bytes, with a header and a footer if wanted.

A chainlet that yields `bytes` makes them with a `stream_writer`; who calls it takes them apart with a `stream_reader`.
Each part is one tag, `>BI`: kind and length in bytes, and then that many bytes of JSON. The reader does not depend on
where the pieces of the stream begin and end.
"""

from __future__ import annotations

import asyncio
import enum
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar, cast, overload

import pydantic

_TAG: Final = struct.Struct(">BI")

DATA_BYTES_MAX: Final = 1 << 30
"""Bytes of JSON in one part."""

ItemT = TypeVar("ItemT", bound=pydantic.BaseModel)
HeaderT = TypeVar("HeaderT", bound=pydantic.BaseModel)
FooterT = TypeVar("FooterT", bound=pydantic.BaseModel)
# With "None" for a stream without it.
HeaderTT = TypeVar("HeaderTT", bound=pydantic.BaseModel | None)
FooterTT = TypeVar("FooterTT", bound=pydantic.BaseModel | None)
ModelT = TypeVar("ModelT", bound=pydantic.BaseModel)


@dataclass(eq=True)
class StreamTypes(Generic[ItemT, HeaderTT, FooterTT]):
    """The classes of a stream's parts; made by `stream_types`."""

    item_type: type[ItemT]
    header_type: type[pydantic.BaseModel] | None = None
    footer_type: type[pydantic.BaseModel] | None = None


@overload
def stream_types(
    item_type: type[ItemT], *, header_type: type[HeaderT], footer_type: type[FooterT]
) -> StreamTypes[ItemT, HeaderT, FooterT]: ...
@overload
def stream_types(item_type: type[ItemT], *, header_type: type[HeaderT]) -> StreamTypes[ItemT, HeaderT, None]: ...
@overload
def stream_types(item_type: type[ItemT], *, footer_type: type[FooterT]) -> StreamTypes[ItemT, None, FooterT]: ...
@overload
def stream_types(item_type: type[ItemT]) -> StreamTypes[ItemT, None, None]: ...
def stream_types(
    item_type: type[ItemT],
    *,
    header_type: type[pydantic.BaseModel] | None = None,
    footer_type: type[pydantic.BaseModel] | None = None,
) -> Any:
    """Says what a stream is made of. Keep the result where writer and reader both import it.

    Args:
        item_type: pydantic model of the items.
        header_type: Of what comes before them, once.
        footer_type: Of what comes after them, once.
    """
    return StreamTypes(item_type, header_type, footer_type)


class _Kind(enum.IntEnum):
    NOT_SET = 1
    HEADER = 2
    ITEM = 3
    FOOTER = 4
    END = 5


# Reading


class _PieceReader:
    """Exact numbers of bytes from pieces of any size. Keeps at most what was asked for and one piece."""

    def __init__(self, source: AsyncIterator[bytes]) -> None:
        self._source = source
        self._buffer = bytearray()

    async def read(self, size: int) -> bytes:
        """Returns `size` bytes, or fewer at the end of the source."""
        while len(self._buffer) < size:
            try:
                self._buffer += await anext(self._source)
            except StopAsyncIteration:
                break
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data


class StreamReader(Generic[ItemT, HeaderTT, FooterTT]):
    """Reads a stream's items; made by `stream_reader`."""

    def __init__(self, types: StreamTypes[ItemT, HeaderTT, FooterTT], stream: AsyncIterator[bytes]) -> None:
        self._types = types
        self._pieces = _PieceReader(aiter(stream))
        self._next: tuple[_Kind, bytes] | None = None

    async def read_items(self) -> AsyncIterator[ItemT]:
        """Yields the items up to the footer or the end.

        Raises:
            ValueError: there is a header, and it was not read; or the data is no such stream, or no such item.
            asyncio.IncompleteReadError: the stream ended inside an item.
        """
        while (part := await self._peek())[0] is _Kind.ITEM:
            self._next = None
            yield self._types.item_type.model_validate_json(part[1])
        if part[0] is _Kind.HEADER:
            raise ValueError(
                "Called `read_items`, but there the stream contains header data, which is not consumed. "
                "Call `read_header` first or remove sending a header."
            )

    async def _peek(self) -> tuple[_Kind, bytes]:
        """Returns the next part, and keeps it."""
        if self._next is None:
            self._next = await self._read()
        return self._next

    async def _read(self) -> tuple[_Kind, bytes]:
        tag = await self._pieces.read(_TAG.size)
        if not tag:
            return _Kind.END, b""
        if len(tag) < _TAG.size:
            raise asyncio.IncompleteReadError(tag, _TAG.size)
        code, size = _TAG.unpack(tag)
        if code not in (_Kind.HEADER, _Kind.ITEM, _Kind.FOOTER, _Kind.END):
            raise ValueError(f"{code} is not a kind of data in a stream; was it written by a `stream_writer`?")
        if size > DATA_BYTES_MAX:
            raise ValueError(f"Stream contains data of {size} bytes; the limit is {DATA_BYTES_MAX}.")
        data = await self._pieces.read(size)
        if len(data) < size:
            raise asyncio.IncompleteReadError(data, size)
        return _Kind(code), data

    async def _read_once(self, kind: _Kind, model: type[pydantic.BaseModel] | None, name: str) -> pydantic.BaseModel:
        assert model is not None, "the reader has this method because the types have the part"
        part = await self._peek()
        if part[0] is not kind:
            raise ValueError(f"Stream does not contain {name}.")
        self._next = None
        return model.model_validate_json(part[1])


class _HeaderReader(StreamReader[ItemT, HeaderT, FooterTT], Generic[ItemT, HeaderT, FooterTT]):
    async def read_header(self) -> HeaderT:
        """Returns the header; call it before `read_items`.

        Raises:
            ValueError: something else comes next.
            asyncio.IncompleteReadError: the stream ended inside it.
        """
        return cast(HeaderT, await self._read_once(_Kind.HEADER, self._types.header_type, "header"))


class _FooterReader(StreamReader[ItemT, HeaderTT, FooterT], Generic[ItemT, HeaderTT, FooterT]):
    async def read_footer(self) -> FooterT:
        """Returns the footer; call it when `read_items` has ended.

        Raises:
            ValueError: something else comes next.
            asyncio.IncompleteReadError: the stream ended inside it.
        """
        return cast(FooterT, await self._read_once(_Kind.FOOTER, self._types.footer_type, "footer"))


class StreamReaderWithHeader(_HeaderReader[ItemT, HeaderT, FooterTT], Generic[ItemT, HeaderT, FooterTT]):
    """Reads a header, then items."""


class StreamReaderWithFooter(_FooterReader[ItemT, HeaderTT, FooterT], Generic[ItemT, HeaderTT, FooterT]):
    """Reads items, then a footer."""


class StreamReaderFull(
    _HeaderReader[ItemT, HeaderT, FooterT], _FooterReader[ItemT, HeaderT, FooterT], Generic[ItemT, HeaderT, FooterT]
):
    """Reads a header, then items, then a footer."""


@overload
def stream_reader(
    types: StreamTypes[ItemT, None, None], stream: AsyncIterator[bytes]
) -> StreamReader[ItemT, None, None]: ...
@overload
def stream_reader(
    types: StreamTypes[ItemT, HeaderT, None], stream: AsyncIterator[bytes]
) -> StreamReaderWithHeader[ItemT, HeaderT, None]: ...
@overload
def stream_reader(
    types: StreamTypes[ItemT, None, FooterT], stream: AsyncIterator[bytes]
) -> StreamReaderWithFooter[ItemT, None, FooterT]: ...
@overload
def stream_reader(
    types: StreamTypes[ItemT, HeaderT, FooterT], stream: AsyncIterator[bytes]
) -> StreamReaderFull[ItemT, HeaderT, FooterT]: ...
def stream_reader(types: StreamTypes[Any, Any, Any], stream: AsyncIterator[bytes]) -> Any:
    """Returns what takes `stream` apart. It has `read_header` and `read_footer` if `types` has them.

    Args:
        stream: What a chainlet yields that uses a `stream_writer` of the same types.
    """
    if types.header_type is not None:
        return (StreamReaderFull if types.footer_type is not None else StreamReaderWithHeader)(types, stream)
    return (StreamReaderWithFooter if types.footer_type is not None else StreamReader)(types, stream)


# Writing


class StreamWriter(Generic[ItemT, HeaderTT, FooterTT]):
    """Makes the bytes of a stream; made by `stream_writer`."""

    def __init__(self, types: StreamTypes[ItemT, HeaderTT, FooterTT]) -> None:
        self._types = types
        self._last = _Kind.NOT_SET

    def yield_item(self, item: ItemT) -> bytes:
        """Returns the bytes to yield for an item.

        Raises:
            ValueError: the footer has been sent, or the item is too large.
        """
        if self._last in (_Kind.FOOTER, _Kind.END):
            raise ValueError("Cannot yield item after sending footer / closing stream.")
        return self._packed(_Kind.ITEM, item)

    def _packed(self, kind: _Kind, part: pydantic.BaseModel) -> bytes:
        data = part.model_dump_json().encode()
        if len(data) > DATA_BYTES_MAX:
            raise ValueError(
                f"Cannot yield {kind.name.lower()} of {len(data)} bytes; the limit is {DATA_BYTES_MAX}. "
                "Use several items."
            )
        self._last = kind
        return _TAG.pack(kind, len(data)) + data


class _HeaderWriter(StreamWriter[ItemT, HeaderT, FooterTT], Generic[ItemT, HeaderT, FooterTT]):
    def yield_header(self, header: HeaderT) -> bytes:
        """Returns the bytes to yield for the header.

        Raises:
            ValueError: something has been sent already, or it is too large.
        """
        if self._last is not _Kind.NOT_SET:
            raise ValueError("Cannot yield header after other data has been sent.")
        return self._packed(_Kind.HEADER, header)


class _FooterWriter(StreamWriter[ItemT, HeaderTT, FooterT], Generic[ItemT, HeaderTT, FooterT]):
    def yield_footer(self, footer: FooterT) -> bytes:
        """Returns the bytes to yield for the footer. No item may follow.

        Raises:
            ValueError: it is too large.
        """
        return self._packed(_Kind.FOOTER, footer)


class StreamWriterWithHeader(_HeaderWriter[ItemT, HeaderT, FooterTT], Generic[ItemT, HeaderT, FooterTT]):
    """Writes a header, then items."""


class StreamWriterWithFooter(_FooterWriter[ItemT, HeaderTT, FooterT], Generic[ItemT, HeaderTT, FooterT]):
    """Writes items, then a footer."""


class StreamWriterFull(
    _HeaderWriter[ItemT, HeaderT, FooterT], _FooterWriter[ItemT, HeaderT, FooterT], Generic[ItemT, HeaderT, FooterT]
):
    """Writes a header, then items, then a footer."""


@overload
def stream_writer(types: StreamTypes[ItemT, None, None]) -> StreamWriter[ItemT, None, None]: ...
@overload
def stream_writer(types: StreamTypes[ItemT, HeaderT, None]) -> StreamWriterWithHeader[ItemT, HeaderT, None]: ...
@overload
def stream_writer(types: StreamTypes[ItemT, None, FooterT]) -> StreamWriterWithFooter[ItemT, None, FooterT]: ...
@overload
def stream_writer(types: StreamTypes[ItemT, HeaderT, FooterT]) -> StreamWriterFull[ItemT, HeaderT, FooterT]: ...
def stream_writer(types: StreamTypes[Any, Any, Any]) -> Any:
    """Returns what makes the bytes of one stream. It has `yield_header` and `yield_footer` if `types` has them."""
    if types.header_type is not None:
        return (StreamWriterFull if types.footer_type is not None else StreamWriterWithHeader)(types)
    return (StreamWriterWithFooter if types.footer_type is not None else StreamWriter)(types)
