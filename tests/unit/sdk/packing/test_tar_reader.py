from __future__ import annotations

import io
import tarfile

import pytest

from penstock.packing.digest import Kind
from penstock.packing.limits import UnpackError
from penstock.packing.tar_reader import read_tar


def member(name: str, kind: bytes = tarfile.REGTYPE, *, mode: int = 0o644, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.mode, made.linkname = kind, mode, link
    return made


def tar(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=form) as made:
        for info, content in members:
            info.size = len(content)
            made.addfile(info, io.BytesIO(content))
    return output.getvalue()


def read(content: bytes) -> list[tuple[str, Kind, bytes]]:
    return [
        (entry.path, entry.kind, b"".join(entry.content) or entry.link.encode())
        for entry in read_tar(io.BytesIO(content))
    ]


def test_what_tarfile_writes_is_read() -> None:
    long = "ä/" + "x" * 200
    content = tar(
        (member("a"), b"1" * 600),
        (member("b", mode=0o700), b""),
        (member("d", tarfile.DIRTYPE), b""),
        (member("l", tarfile.SYMTYPE, link="y" * 150), b""),
        (member(long), b"2"),
    )
    assert read(content) == [
        ("a", Kind.FILE, b"1" * 600),
        ("b", Kind.EXECUTABLE, b""),
        ("d", Kind.FOLDER, b""),
        ("l", Kind.LINK, b"y" * 150),
        (long, Kind.FILE, b"2"),
    ]


def test_content_that_nobody_reads_is_passed_over() -> None:
    content = tar((member("a"), b"1" * 3000), (member("b"), b"2"))
    assert [entry.path for entry in read_tar(io.BytesIO(content))] == ["a", "b"]


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.LNKTYPE, b"S", b"L"])
def test_what_is_no_file_folder_or_link_is_refused(kind: bytes) -> None:
    with pytest.raises(UnpackError, match="neither"):
        read(tar((member("x", kind), b"")))


def test_a_huge_header_is_refused_before_it_is_read() -> None:
    content = tar((member("x" * 70_000), b""))
    with pytest.raises(UnpackError, match="a header has"):
        read(content)


@pytest.mark.parametrize("cut", [100, 512, 700, 1100])
def test_an_archive_that_ends_early_is_refused(cut: int) -> None:
    with pytest.raises(UnpackError, match="ends too early"):
        read(tar((member("a"), b"1" * 600))[:cut])


def test_damage_is_noticed() -> None:
    content = bytearray(tar((member("a"), b"1")))
    content[3] ^= 1
    with pytest.raises(UnpackError, match="checksum"):
        read(bytes(content))
    with pytest.raises(UnpackError, match="no tar"):
        read(b"x" * 1024)


@pytest.mark.parametrize(
    "record", [b"999 path=x\n", b"x path=y\n", b"6 abc\n", b"-5 path=x\n", b"11 path=\xff\xff\xff\n"]
)
def test_a_damaged_pax_header_is_refused(record: bytes) -> None:
    with pytest.raises(UnpackError):
        read(tar((member("p", tarfile.XHDTYPE), record), (member("a"), b"")))
