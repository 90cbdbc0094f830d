from __future__ import annotations

import hashlib
import os
import shutil
import threading
from pathlib import Path

import pytest

from penstock.weights.cache import PARTIAL_AGE_MAX_S, Cache
from penstock.weights.errors import WeightsError
from penstock.weights.manifest import CachedFile, Manifest


class Bench:
    """A cache with a bound of 100 bytes, and entries of its own."""

    def __init__(self, folder: Path, *, bytes_max: int | None = 100) -> None:
        self.lines: list[str] = []
        self.now = 1_000_000.0
        self.folder = folder
        self.cache = Cache(
            folder,
            bytes_max=bytes_max,
            report=self.lines.append,
            stop=threading.Event(),
            wall_clock=lambda: self.now,
        )
        self.model = folder / "model"
        self.model.mkdir(exist_ok=True)

    def put(self, key: str, size: int, *, known: bool = True, source_key: str = "s") -> Manifest:
        """Fetches an entry of `size` bytes, a second after the last one, and marks it as used."""
        self.now += 1
        with self.cache.holding(key, lambda: None):
            self.cache.plan(key, f"source {key}", size if known else None)
            content = b"x" * size
            (self.cache.partial_files_of(key) / "file").write_bytes(content)
            file = CachedFile("file", size, hashlib.sha256(content).hexdigest())
            manifest = Manifest(f"source {key}", source_key, f"rev {key}", False, (file,), self.now)
            self.cache.publish(key, manifest)
        self.cache.find(key)
        return manifest

    def begin(self, key: str, size: int, planned: int) -> None:
        """Leaves a download of which `size` of `planned` bytes came."""
        with self.cache.holding(key, lambda: None):
            self.cache.plan(key, f"source {key}", planned)
            part = self.cache.parts_of(key) / "x.part"
            part.parent.mkdir()
            part.write_bytes(b"x" * size)
        for path in (part, part.parent, part.parent.parent, part.parent.parent / "plan.json"):
            os.utime(path, (self.now, self.now))

    def keys(self) -> list[str]:
        return sorted(path.name for path in (self.cache.root / "entries").iterdir())

    def partial(self) -> list[str]:
        return sorted(path.name for path in (self.cache.root / "partial").iterdir())


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_an_entry_is_found_once_it_is_published(bench: Bench) -> None:
    assert bench.cache.find("a") is None

    manifest = bench.put("a", 10)

    assert bench.cache.find("a") == manifest
    assert (bench.cache.files_of("a") / "file").read_bytes() == b"x" * 10
    assert bench.partial() == []


def test_the_least_recently_used_makes_room_and_it_is_said(bench: Bench) -> None:
    bench.put("a", 40)
    bench.put("b", 40)
    bench.now += 1
    bench.cache.find("a")

    bench.put("c", 40)

    assert bench.keys() == ["a", "c"]
    assert bench.lines == ["removing source b from the weights cache, 40 B: least recently used, and room is needed"]


def test_what_a_deployment_uses_is_never_removed(bench: Bench) -> None:
    bench.put("a", 40)
    bench.put("b", 40)
    bench.cache.refer(bench.model, ["a"], {})

    bench.put("c", 40)

    assert bench.keys() == ["a", "c"]


def test_when_all_is_in_use_it_is_refused_with_what_to_do(bench: Bench) -> None:
    bench.put("a", 60)
    bench.cache.refer(bench.model, ["a"], {})

    with pytest.raises(WeightsError) as caught:
        bench.put("c", 50)

    assert str(caught.value) == (
        f"50 B more do not fit into the weights cache {bench.cache.root}: its bound is 100 B, and 60 B are in use by "
        "deployments and downloads; raise PENSTOCK_WEIGHTS_CACHE_BYTES, or remove a deployment"
    )
    assert bench.keys() == ["a"]


def test_a_deployment_that_is_released_or_gone_gives_its_files_free(bench: Bench) -> None:
    bench.put("a", 60)
    bench.cache.refer(bench.model, ["a"], {})
    bench.cache.release(bench.model)
    bench.put("b", 60)
    bench.cache.refer(bench.model, ["b"], {})
    shutil.rmtree(bench.model)

    bench.put("c", 60)

    assert bench.keys() == ["c"]


def test_references_add_up_until_they_are_settled(bench: Bench) -> None:
    bench.cache.refer(bench.model, ["a"], {"/x": "/old"})
    bench.cache.refer(bench.model, ["b"], {"/y": "/new"})
    bench.put("a", 40)
    bench.put("b", 40)
    with pytest.raises(WeightsError):
        bench.put("c", 40)

    bench.cache.settle(bench.model, ["b"], {"/y": "/new"})

    bench.put("c", 40)
    assert bench.keys() == ["b", "c"]
    assert bench.cache.makers_of(Path("/y")) == {bench.model: "/new"}
    assert bench.cache.makers_of(Path("/x")) == {}


def test_unfinished_downloads_count_and_go_before_complete_ones(bench: Bench) -> None:
    bench.put("a", 40)
    bench.begin("p", 40, 50)

    bench.put("c", 40)

    assert (bench.keys(), bench.partial()) == (["a", "c"], [])
    assert "removing the unfinished source p from the weights cache, " in bench.lines[0]


def test_an_unfinished_download_stays_for_its_own_next_time(bench: Bench) -> None:
    bench.begin("p", 40, 90)
    with bench.cache.holding("p", lambda: None):
        bench.cache.plan("p", "source p", 90)

    assert (bench.cache.parts_of("p") / "x.part").stat().st_size == 40
    assert bench.lines == []


def test_what_another_process_is_fetching_counts_in_full_and_stays(bench: Bench) -> None:
    bench.begin("p", 10, 90)

    with bench.cache.holding("p", lambda: None), pytest.raises(WeightsError, match="do not fit"):
        bench.put("c", 20)

    assert bench.partial() != []


def test_an_unfinished_download_that_nobody_went_on_with_is_removed(bench: Bench) -> None:
    bench.begin("p", 1, 2)
    bench.now += PARTIAL_AGE_MAX_S + 1

    bench.put("c", 10)

    assert bench.partial() == []
    assert "nobody went on with it for a week" in bench.lines[0]


def test_a_file_of_unknown_length_is_bounded_while_it_grows(bench: Bench) -> None:
    with bench.cache.holding("p", lambda: None):
        bench.cache.plan("p", "source p", None)
        (bench.cache.partial_files_of("p") / "file").write_bytes(b"x" * 101)

        with pytest.raises(WeightsError, match="its bound is 100 B"):
            bench.cache.make_room("p")


def test_a_disk_without_room_is_named(tmp_path: Path) -> None:
    bench = Bench(tmp_path, bytes_max=10**19)

    with pytest.raises(WeightsError, match=r"must be free on the disk of .* 0 B of the weights cache are in use"):
        bench.put("a", 10**18)


@pytest.mark.parametrize("damage", ["missing", "short", "manifest"])
def test_a_damaged_entry_is_removed_and_said(bench: Bench, damage: str) -> None:
    bench.put("a", 10)
    file = bench.cache.files_of("a") / "file"
    match damage:
        case "missing":
            file.unlink()
        case "short":
            file.write_bytes(b"x")
        case _:
            (file.parents[1] / "manifest.json").write_text("{}")

    assert bench.cache.find("a") is None
    assert bench.keys() == []
    assert "fetching it again" in bench.lines[0]


def test_an_entry_of_another_version_takes_room_until_it_is_removed(bench: Bench) -> None:
    strange = bench.cache.root / "entries/strange"
    strange.mkdir()
    (strange / "file").write_bytes(b"x" * 90)

    bench.put("a", 40)

    assert bench.keys() == ["a"]


def test_the_newest_copy_of_a_source_is_known(bench: Bench) -> None:
    bench.put("a", 1, source_key="mine")
    newest = bench.put("b", 1, source_key="mine")
    bench.put("c", 1, source_key="other")

    assert bench.cache.newest_of("mine") == ("b", newest)
    assert bench.cache.newest_of("none") is None


def test_a_view_links_files_and_goes_when_nobody_uses_it(bench: Bench) -> None:
    bench.cache.refer(bench.model, ["v"], {})

    folder = bench.cache.view("v", {"sub/x": Path("/somewhere/x")})
    again = bench.cache.view("v", {"sub/x": Path("/somewhere/x")})

    assert folder == again
    assert os.readlink(folder / "sub/x") == "/somewhere/x"
    bench.cache.settle(bench.model, [], {})
    assert not folder.exists()


def test_the_cache_knows_what_leads_into_it(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(bench.cache.files_of("gone"))

    assert bench.cache.holds(tmp_path / "link")
    assert not bench.cache.holds(tmp_path)


def test_the_bound_is_a_share_of_the_disk_when_nothing_is_said(tmp_path: Path) -> None:
    assert Bench(tmp_path, bytes_max=None).cache.bytes_max == int(shutil.disk_usage(tmp_path).total * 0.8)


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(WeightsError, match=r"the cache folder .* cannot be used"):
        Cache(tmp_path / "file", bytes_max=1, report=print, stop=threading.Event())


def test_what_a_dead_process_left_half_removed_goes_with_the_next_removal(bench: Bench) -> None:
    left = bench.cache.root / "trash/left"
    left.mkdir()
    bench.put("a", 60)

    bench.put("b", 60)

    assert list((bench.cache.root / "trash").iterdir()) == []
