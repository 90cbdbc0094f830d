from __future__ import annotations

import gzip
import io
import os
import tarfile
from pathlib import Path

import pytest

from penstock.packing import archive
from penstock.packing.archive import content_hash, pack, pack_directory
from penstock.packing.inventory import take_inventory
from penstock.packing.limits import PackError
from penstock.packing.unpacking import unpack


@pytest.fixture
def truss(tmp_path: Path) -> Path:
    return make(tmp_path / "truss")


def make(folder: Path) -> Path:
    (folder / "model").mkdir(parents=True)
    (folder / "config.yaml").write_text("model_name: x\n")
    (folder / "model" / "model.py").write_text("class Model: ...\n")
    (folder / "link").symlink_to("model/model.py")
    (folder / ("long" * 50)).write_bytes(os.urandom(64))
    return folder


def test_the_same_content_gives_the_same_bytes_anywhere(truss: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere" / "copy"
    (copy / "model").mkdir(parents=True)
    # In another order, at another time, with other rights.
    for name in ("model/model.py", "long" * 50, "config.yaml"):
        (copy / name).write_bytes((truss / name).read_bytes())
        (copy / name).chmod(0o600)
        os.utime(copy / name, (1, 1))
    (copy / "link").symlink_to("model/model.py")
    one, other = io.BytesIO(), io.BytesIO()
    packed = pack_directory(truss, one)
    assert pack_directory(copy, other) == packed
    assert one.getvalue() == other.getvalue()
    assert packed.size_bytes == len(one.getvalue())
    assert one.getvalue()[4:8] == bytes(4), "the header of gzip holds no time"


def test_the_hash_can_be_had_without_an_archive(truss: Path) -> None:
    assert content_hash(take_inventory(truss)) == pack_directory(truss, io.BytesIO()).artifact


def test_a_changed_byte_gives_another_hash(truss: Path) -> None:
    before = content_hash(take_inventory(truss))
    (truss / "config.yaml").write_text("model_name: y\n")
    assert content_hash(take_inventory(truss)) != before


def test_any_tar_program_can_read_it(truss: Path) -> None:
    output = io.BytesIO()
    pack_directory(truss, output)
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(output.getvalue()))) as tar:
        found = {member.name: member for member in tar}
        assert sorted(found) == ["config.yaml", "link", "long" * 50, "model/model.py"]
        assert {(m.uid, m.gid, m.mtime, m.uname) for m in found.values()} == {(0, 0, 0, "")}
        assert found["link"].linkname == "model/model.py"
        content = tar.extractfile("config.yaml")
        assert content is not None and content.read() == b"model_name: x\n"


def test_progress_reaches_the_end(truss: Path) -> None:
    seen: list[tuple[int, int]] = []
    packed = pack(take_inventory(truss), io.BytesIO(), lambda done, total: seen.append((done, total)))
    assert seen[-1] == (packed.content_bytes, packed.content_bytes)
    assert packed.entries == 4


def test_a_file_that_shrinks_meanwhile_is_told(truss: Path) -> None:
    inventory = take_inventory(truss)
    (truss / "config.yaml").write_text("x")
    with pytest.raises(PackError, match="got shorter"):
        pack(inventory, io.BytesIO())


def test_a_file_that_cannot_be_read_is_named(truss: Path) -> None:
    inventory = take_inventory(truss)
    (truss / "config.yaml").unlink()
    with pytest.raises(PackError, match=r"config\.yaml: cannot be read"):
        content_hash(inventory)


def test_an_archive_that_gets_too_large_is_given_up(truss: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "PACKED_BYTES_MAX", 100)
    with pytest.raises(PackError, match="gets larger"):
        pack_directory(truss, io.BytesIO())


def test_what_can_be_compressed_is_and_the_rest_is_stored(truss: Path) -> None:
    (truss / "text").write_bytes(b"again and " * 300_000)
    (truss / "weights").write_bytes(os.urandom(3_000_000))
    output = io.BytesIO()

    packed = pack_directory(truss, output)

    assert 3_000_000 < packed.size_bytes < 3_100_000
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(output.getvalue()))) as tar:
        for name in ("text", "weights"):
            content = tar.extractfile(name)
            assert content is not None and content.read() == (truss / name).read_bytes()
    output.seek(0)
    assert unpack(output, truss.parent / "out", packed.artifact).content_bytes == packed.content_bytes
