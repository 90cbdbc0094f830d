"""Reads a tar as a stream of entries, and believes nothing: what may come from anyone goes through here.

Only what `archive` writes is understood: POSIX headers (ustar), extended by pax headers for long names and large files.
Everything else, devices and hard links included, is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from penstock.packing.digest import Kind
from penstock.packing.limits import CHUNK_BYTES, UnpackError

BLOCK = 512
PAX_BYTES_MAX = 64 * 1024
"""Size of a pax header: two paths and a few numbers."""

_FILE, _OLD_FILE, _LINK, _FOLDER, _PAX = b"0", b"\0", b"2", b"5", b"x"


class Source(Protocol):
    """Where the tar comes from."""

    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class TarEntry:
    """One entry. The content of a file must be read before the next entry is asked for."""

    path: str
    kind: Kind
    size: int
    link: str
    content: Iterator[bytes]


def read_tar(source: Source) -> Iterator[TarEntry]:
    """Gives the entries in their order.

    Raises:
        UnpackError: It is not a tar as `archive` writes it.
    """
    extended: dict[str, str] = {}
    while True:
        header = _exactly(source, BLOCK)
        if not any(header):
            return
        _check(header)
        flag, size = header[156:157], _number(header[124:136])
        if flag == _PAX:
            extended = _pax(_padded(source, size))
            continue
        path, link = _path(header, extended)
        if "size" in extended:
            size = _decimal(extended["size"])
        extended = {}
        if flag == _LINK:
            yield TarEntry(path, Kind.LINK, 0, link, iter(()))
        elif flag == _FOLDER:
            yield TarEntry(path.removesuffix("/"), Kind.FOLDER, 0, "", iter(()))
        elif flag in (_FILE, _OLD_FILE):
            kind = Kind.EXECUTABLE if _number(header[100:108]) & 0o111 else Kind.FILE
            content = _content(source, size)
            yield TarEntry(path, kind, size, "", content)
            for _ in content:
                pass
        else:
            raise UnpackError(f"{path!r} is neither a file, a folder nor a link")


def _content(source: Source, size: int) -> Iterator[bytes]:
    left = size
    while left:
        piece = _exactly(source, min(left, CHUNK_BYTES))
        left -= len(piece)
        yield piece
    _exactly(source, -size % BLOCK)


def _padded(source: Source, size: int) -> bytes:
    if size > PAX_BYTES_MAX:
        raise UnpackError(f"a header has {size} bytes, more than {PAX_BYTES_MAX}")
    return b"".join(_content(source, size))


def _exactly(source: Source, size: int) -> bytes:
    pieces: list[bytes] = []
    while size:
        try:
            piece = source.read(size)
        except (OSError, EOFError) as exc:
            # zlib and gzip tell of damage so.
            raise UnpackError(f"the archive is damaged: {exc}") from exc
        if not piece:
            raise UnpackError("the archive ends too early")
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _check(header: bytes) -> None:
    if header[257:263] not in (b"ustar\0", b"ustar "):
        raise UnpackError("this is no tar of the POSIX kind")
    # The checksum counts itself as spaces.
    if _number(header[148:156]) != sum(header[:148]) + 8 * 32 + sum(header[156:]):
        raise UnpackError("the archive is damaged: a checksum is wrong")


def _number(field: bytes) -> int:
    text = field.rstrip(b" \0")
    if not text:
        return 0
    if not all(48 <= digit < 56 for digit in text.lstrip(b" ")):
        raise UnpackError("a number in a header is not octal")
    return int(text, 8)


def _decimal(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise UnpackError("a number in a header is not decimal")
    return int(text)


def _path(header: bytes, extended: dict[str, str]) -> tuple[str, str]:
    name, prefix = _text(header[0:100]), _text(header[345:500])
    path = extended.get("path", f"{prefix}/{name}" if prefix else name)
    return path, extended.get("linkpath", _text(header[157:257]))


def _text(field: bytes) -> str:
    try:
        return field.partition(b"\0")[0].decode()
    except UnicodeDecodeError:
        raise UnpackError("a name in a header is not UTF-8") from None


def _pax(content: bytes) -> dict[str, str]:
    """Reads records of the form "LENGTH KEY=VALUE\\n", where LENGTH counts the whole record."""
    found: dict[str, str] = {}
    while content:
        length_text, space, _ = content.partition(b" ")
        length = int(length_text) if space and length_text.isdigit() and len(length_text) < 8 else 0
        record = content[:length]
        key, equals, value = record[len(length_text) + 1 : -1].partition(b"=")
        if not equals or not record.endswith(b"\n") or len(record) != length:
            raise UnpackError("a pax header is damaged")
        found[_text(key)] = _text(value)
        content = content[length:]
    return found
