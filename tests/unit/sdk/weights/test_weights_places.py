from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from penstock.truss import parse_config
from penstock.weights.cache import Cache
from penstock.weights.errors import WeightsError
from penstock.weights.http_client import HttpClient
from penstock.weights.http_origin import HttpOrigin
from penstock.weights.items import Item, read_items
from penstock.weights.placed import Available, Placed
from penstock.weights.places import Places
from penstock.weights.remote_file import Listing, RemoteFile
from penstock.weights.resolving import Resolved
from penstock.weights.settings import FetchSettings
from penstock.weights.sources import LocalSource


class Bench:
    """The places of one deployment."""

    def __init__(self, folder: Path, text: str, *, model: str = "model") -> None:
        self.lines: list[str] = []
        self.folder = folder
        self.model = folder / model
        self.model.mkdir(exist_ok=True)
        config = parse_config(text.replace("FOLDER", str(folder)).encode(), name_default="m")
        self.cache = Cache(folder / "cache", bytes_max=10**9, report=print, stop=threading.Event())
        settings = FetchSettings(hub_cache=folder / "hub")
        self.places = Places(config, self.model, self.cache, settings, self.lines.append)
        self.items: tuple[Item, ...] = read_items(config, self.model)

    def available(self, *names: str, is_folder: bool = True, key: str = "k") -> Available:
        """Makes an entry of the cache."""
        for name in names:
            path = self.cache.files_of(key) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{key} {name}")
        return Available(
            folder=self.cache.files_of(key),
            names=names,
            is_folder=is_folder,
            files=len(names),
            size=1,
            way="fetched",
            revision="c0ffee",
        )

    def place(self, available: Available) -> Placed:
        return self.places.place(self.items[0], available)

    def local(self) -> Available:
        source = self.items[0].source
        assert isinstance(source, LocalSource)
        return self.places.local(self.items[0], source)


def test_external_data_is_in_the_data_folder(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "{data_dir: stuff, external_data: [{url: 'http://h/x.bin', local_data_path: a/y.bin}]}")

    placed = bench.place(bench.available("x.bin", is_folder=False))

    assert placed.path == bench.model / "stuff/a/y.bin"
    assert placed.path.read_text() == "k x.bin"
    assert bench.places.links == {str(placed.path): str(bench.cache.files_of("k") / "x.bin")}


def test_a_data_folder_that_is_a_link_to_elsewhere_is_refused(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "external_data: [{url: 'http://h/x.bin', local_data_path: y.bin}]")
    (bench.model / "data").symlink_to(tmp_path)

    with pytest.raises(WeightsError, match="through a symbolic link") as caught:
        bench.place(bench.available("x.bin", is_folder=False))

    assert caught.value.key == "external_data[0].local_data_path"
    assert not (tmp_path / "y.bin").exists()


def test_a_folder_is_mounted_and_a_file_in_or_as_its_mount(tmp_path: Path) -> None:
    folder = Bench(tmp_path, "weights: [{source: 'hf://o/n', mount_location: FOLDER/m/llama}]")
    as_file = Bench(tmp_path, "weights: [{source: 'http://h/x.bin', mount_location: FOLDER/m/y.bin}]")
    in_folder = Bench(tmp_path, "weights: [{source: 'http://h/x.bin', mount_location: FOLDER/m/other}]")

    folder.place(folder.available("config.json", "sub/x"))
    as_file.place(as_file.available("x.bin", is_folder=False, key="f"))
    in_folder.place(in_folder.available("x.bin", is_folder=False, key="f"))

    assert (tmp_path / "m/llama/sub/x").read_text() == "k sub/x"
    assert (tmp_path / "m/y.bin").read_text() == "f x.bin"
    assert (tmp_path / "m/other/x.bin").read_text() == "f x.bin"


def test_a_new_deployment_takes_a_mount_over_and_says_so(tmp_path: Path) -> None:
    text = "weights: [{source: 'hf://o/n', mount_location: FOLDER/m}]"
    old = Bench(tmp_path, text, model="old")
    new = Bench(tmp_path, text, model="new")
    old.place(old.available("x", key="old"))

    new.place(new.available("x", key="new"))

    assert (tmp_path / "m/x").read_text() == "new x"
    assert new.lines == [
        f"weights[0]: {tmp_path}/m now leads to other files, also for the deployment of {tmp_path}/old"
    ]


def test_a_link_of_somebody_else_is_not_taken_over_even_at_the_second_try(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "weights: [{source: 'hf://o/n', mount_location: FOLDER/m}]")
    (tmp_path / "m").symlink_to("/their/own")

    for _ in range(2):
        with pytest.raises(WeightsError, match="not Penstock's"):
            bench.place(bench.available("x"))


def test_nothing_is_put_into_the_shared_files_of_another_mount(tmp_path: Path) -> None:
    outer = Bench(tmp_path, "weights: [{source: 'hf://o/n', mount_location: FOLDER/m}]", model="one")
    inner = Bench(tmp_path, "weights: [{source: 'hf://o/n', mount_location: FOLDER/m/sub}]", model="two")
    outer.place(outer.available("x"))

    with pytest.raises(WeightsError, match=r"is inside of .*, a folder of the cache"):
        inner.place(inner.available("y", key="other"))


def test_local_sources_are_linked_and_never_copied(tmp_path: Path) -> None:
    (tmp_path / "big/sub").mkdir(parents=True)
    (tmp_path / "big/a.bin").write_text("a")
    (tmp_path / "big/sub/b.txt").write_text("b")
    whole = Bench(tmp_path, "weights: [{source: FOLDER/big, mount_location: FOLDER/m1}]")
    some = Bench(tmp_path, "weights: [{source: FOLDER/big, mount_location: FOLDER/m2, allow_patterns: ['*.txt']}]")
    one = Bench(tmp_path, "weights: [{source: FOLDER/big/a.bin, mount_location: FOLDER/m3}]")
    as_file = Bench(tmp_path, "weights: [{source: FOLDER/big/a.bin, mount_location: FOLDER/m4.bin}]")

    placed = [bench.place(bench.local()) for bench in (whole, some, one, as_file)]

    assert [(place.way, place.files) for place in placed] == [("local", 2), ("local", 1), ("local", 1), ("local", 1)]
    assert os.readlink(tmp_path / "m1") == str(tmp_path / "big")
    assert [path.name for path in (tmp_path / "m2").rglob("*")] == ["sub", "b.txt"]
    assert os.listdir(tmp_path / "m3") == ["a.bin"]
    assert os.readlink(tmp_path / "m3/a.bin") == str(tmp_path / "big/a.bin")
    assert os.readlink(tmp_path / "m4.bin") == str(tmp_path / "big/a.bin")


def test_a_relative_source_is_below_the_model(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "weights: [{source: files/a.bin, mount_location: FOLDER/m.bin}]")
    (bench.model / "files").mkdir()
    (bench.model / "files/a.bin").write_text("a")

    assert bench.place(bench.local()).path.read_text() == "a"


def resolved(bench: Bench, *files: tuple[str, int | None]) -> Resolved:
    origin = HttpOrigin(HttpClient(), "http://h/x")
    remote = tuple(RemoteFile(name=name, size=size, sha256=None, origin=origin) for name, size in files)
    listing = Listing(revision="c0ffee", files=remote, is_folder=True)
    return Resolved(bench.items[0], "k", "s", "c0ffee", None, listing)


def test_files_that_somebody_put_there_are_used_as_they_are(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "weights: [{source: 'hf://o/n', mount_location: FOLDER/m}]")
    (tmp_path / "m").mkdir()
    (tmp_path / "m/x").write_text("123")

    found = bench.places.present(resolved(bench, ("x", 3)))

    assert found is not None
    assert bench.place(found).way == "present"
    assert (tmp_path / "m/x").read_text() == "123"
    assert bench.places.links == {}
    assert "has all files of hf://o/n@main already" in bench.lines[0]
    assert bench.places.present(resolved(bench, ("x", 4))) is None
    assert bench.places.present(resolved(bench, ("x", None))) is None


def test_a_mount_of_our_own_is_not_somebody_elses(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "weights: [{source: 'hf://o/n', mount_location: FOLDER/m}]")
    bench.place(bench.available("x"))

    assert bench.places.present(resolved(bench, ("x", 3))) is None


def test_a_repository_is_where_huggingface_hub_looks_and_its_own_downloads_are_used(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "model_cache: [{repo_id: o/n, use_volume: false}]")
    folder = tmp_path / "hub/models--o--n/snapshots/c0ffee"

    placed = bench.place(bench.available("x"))

    assert placed.path == folder
    assert (folder / "x").read_text() == "k x"
    assert bench.places.present(resolved(bench, ("x", 3))) is None
    (folder / "x").unlink()
    (folder / "x").write_text("123")
    found = bench.places.present(resolved(bench, ("x", 3)))
    assert found is not None
    assert bench.place(found).way == "present"
    assert (tmp_path / "hub/models--o--n/refs/main").read_text() == "c0ffee"
