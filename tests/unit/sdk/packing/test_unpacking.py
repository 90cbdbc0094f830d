from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from pathlib import Path

import pytest

from penstock.packing.archive import pack_directory
from penstock.packing.digest import ContentDigest, Kind
from penstock.packing.limits import UnpackError
from penstock.packing.unpacking import unpack


def packed(*entries: tuple[str, Kind, bytes]) -> tuple[io.BytesIO, str]:
    """An archive with these entries, whatever they are, and the hash that goes with them."""
    digest, plain = ContentDigest(), io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, kind, content in entries:
            info = tarfile.TarInfo(path)
            digest.entry(kind, path, content)
            if kind is Kind.LINK:
                info.type, info.linkname = tarfile.SYMTYPE, content.decode()
                content = b""
            elif kind is Kind.FOLDER:
                info.type = tarfile.DIRTYPE
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return io.BytesIO(gzip.compress(plain.getvalue())), digest.hexdigest()


def assert_refused(tmp_path: Path, text: str, *entries: tuple[str, Kind, bytes]) -> None:
    archive, artifact = packed(*entries)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UnpackError, match=text):
        unpack(archive, tmp_path / "out", artifact)
    assert sorted(tmp_path.iterdir()) == before, "nothing is left of it"


def test_a_directory_comes_out_as_it_went_in(tmp_path: Path) -> None:
    truss = tmp_path / "truss"
    (truss / "a" / "empty").mkdir(parents=True)
    (truss / "config.yaml").write_text("model_name: x\n")
    (truss / "a" / "big").write_bytes(bytes(range(256)) * 10_000)
    (truss / "run").touch()
    (truss / "run").chmod(0o700)
    (truss / "link").symlink_to("a/big")
    archive = io.BytesIO()
    made = pack_directory(truss, archive)
    archive.seek(0)

    found = unpack(archive, tmp_path / "out", made.artifact)

    assert (found.content_bytes, found.entries) == (made.content_bytes, made.entries)
    out = tmp_path / "out"
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*")) == sorted(
        str(path.relative_to(truss)) for path in truss.rglob("*")
    )
    assert (out / "link").read_bytes() == (truss / "a" / "big").read_bytes()
    assert ((out / "run").stat().st_mode & 0o777, (out / "config.yaml").stat().st_mode & 0o777) == (0o755, 0o644)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "truss"]


@pytest.mark.parametrize("path", ["../x", "/tmp/x", "a/../../x", "a//b", "."])
def test_a_path_that_leads_out_is_refused(tmp_path: Path, path: str) -> None:
    assert_refused(tmp_path, "this path", (path, Kind.FILE, b"x"))


@pytest.mark.parametrize("target", ["/etc/passwd", "..", "../x", "a/../../x"])
def test_a_link_that_leads_out_is_refused(tmp_path: Path, target: str) -> None:
    assert_refused(tmp_path, "leads out", ("link", Kind.LINK, target.encode()))


def test_a_link_that_leads_out_over_another_is_refused(tmp_path: Path) -> None:
    entries = (("a/up", Kind.LINK, b".."), ("z", Kind.LINK, b"a/up/.."))
    assert_refused(tmp_path, "leads out", *entries)


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    entries = (("a", Kind.LINK, str(victim).encode()), ("a/x", Kind.FILE, b"x"))
    assert_refused(tmp_path, "leads out|stands", *entries)
    assert list(victim.iterdir()) == []


def test_an_entry_that_stands_twice_or_out_of_order_is_refused(tmp_path: Path) -> None:
    assert_refused(tmp_path, "order", ("a", Kind.FILE, b"1"), ("a", Kind.FILE, b"2"))
    assert_refused(tmp_path, "order", ("b", Kind.FILE, b"1"), ("a", Kind.FILE, b"2"))
    assert_refused(tmp_path, "stands", ("a", Kind.FILE, b"1"), ("a/b", Kind.FILE, b"2"))


def test_other_content_than_was_announced_is_refused(tmp_path: Path) -> None:
    archive, _ = packed(("a", Kind.FILE, b"1"))
    with pytest.raises(UnpackError, match="not 0000"):
        unpack(archive, tmp_path / "out", "0" * 64)
    assert list(tmp_path.iterdir()) == []


def test_more_than_is_allowed_is_refused_before_it_fills_the_disk(tmp_path: Path) -> None:
    archive, artifact = packed(("a", Kind.FILE, bytes(1_000_000)), ("b", Kind.FILE, b"2"))
    with pytest.raises(UnpackError, match="more than 1000 bytes"):
        unpack(archive, tmp_path / "out", artifact, content_bytes_max=1000)
    archive.seek(0)
    with pytest.raises(UnpackError, match="more than 1 entries"):
        unpack(archive, tmp_path / "out", artifact, entries_max=1)


def test_damage_is_told(tmp_path: Path) -> None:
    archive, artifact = packed(("a", Kind.FILE, bytes(range(256)) * 100))
    content = archive.getvalue()
    for damaged in (b"", b"nonsense", content[: len(content) // 2], content[:40] + b"\xff" * 40 + content[80:]):
        with pytest.raises(UnpackError):
            unpack(io.BytesIO(damaged), tmp_path / "out", artifact)
    broken = io.BytesIO(b"\x1f\x8b\x08" + bytes(7) + zlib.compress(b"x")[2:-4] + bytes(8))
    with pytest.raises(UnpackError):
        unpack(broken, tmp_path / "out", artifact)


def test_content_that_is_there_already_stays(tmp_path: Path) -> None:
    archive, artifact = packed(("a", Kind.FILE, b"1"))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    unpack(archive, tmp_path / "out", artifact)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
