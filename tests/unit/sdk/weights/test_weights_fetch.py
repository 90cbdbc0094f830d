from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import pytest

from penstock.truss import TrussConfig, parse_config
from penstock.weights import Placed, WeightsError, fetch_all, release
from penstock_testing.faulty_web_server import FaultyWebServer


class Bench:
    """A model folder and a cache; FOLDER and WEB in texts stand for where they are."""

    def __init__(self, folder: Path, web: FaultyWebServer) -> None:
        self.folder = folder
        self.web = web
        self.model = folder / "model"
        self.model.mkdir()
        self.lines: list[str] = []
        self.env: dict[str, str] = {"HF_HOME": str(folder / "hf"), "HF_ENDPOINT": web.url("/")[:-1]}

    def config(self, text: str) -> TrussConfig:
        text = text.replace("FOLDER", str(self.folder)).replace("WEB", self.web.url("/")[:-1])
        return parse_config(text.encode(), name_default="m")

    def fetch(self, text: str, model: Path | None = None) -> list[Placed]:
        config = self.config(text)
        return fetch_all(config, model or self.model, self.folder / "cache", self.lines.append, env=self.env)


@pytest.fixture
def bench(tmp_path: Path, web: FaultyWebServer) -> Bench:
    return Bench(tmp_path, web)


def test_a_model_that_needs_nothing_makes_nothing(bench: Bench) -> None:
    assert bench.fetch("model_name: x") == []
    assert os.listdir(bench.folder) == ["model"]


def test_all_kinds_are_put_in_place_in_the_order_of_the_configuration(bench: Bench) -> None:
    (bench.folder / "local").write_text("local")
    bench.web.put("/a.bin", b"a")
    bench.web.put("/b.bin", b"bb")

    placed = bench.fetch(
        """
        external_data: [{url: WEB/a.bin, local_data_path: sub/a.bin}]
        weights:
        - {source: WEB/b.bin, mount_location: FOLDER/m/b.bin}
        - {source: FOLDER/local, mount_location: FOLDER/m/local}
        """
    )

    assert [(one.key, one.way, one.size) for one in placed] == [
        ("external_data[0]", "fetched", 1),
        ("weights[0]", "fetched", 2),
        ("weights[1]", "local", 5),
    ]
    assert (bench.model / "data/sub/a.bin").read_text() == "a"
    assert (bench.folder / "m/b.bin").read_text() == "bb"
    assert (bench.folder / "m/local").read_text() == "local"


def test_the_second_time_everything_is_in_the_cache(bench: Bench) -> None:
    text = "external_data: [{url: WEB/a.bin, local_data_path: a.bin}]"
    bench.web.put("/a.bin", b"a")
    bench.fetch(text)

    (placed,) = bench.fetch(text)

    assert placed.way == "cached"
    assert bench.lines[-1] == f"external_data[0]: {bench.web.url('/a.bin')} is in the cache (1 files, 1 B)"


def test_one_source_in_two_places_is_fetched_once(bench: Bench) -> None:
    bench.web.put("/a.bin", b"a")

    placed = bench.fetch(
        """
        weights:
        - {source: WEB/a.bin, mount_location: FOLDER/x.bin}
        - {source: WEB/a.bin, mount_location: FOLDER/y.bin}
        """
    )

    assert sorted(one.way for one in placed) == ["cached", "fetched"]


def test_a_changed_source_is_fetched_and_a_place_no_longer_named_is_cleared(bench: Bench) -> None:
    bench.web.put("/a.bin", b"old")
    bench.fetch("external_data: [{url: WEB/a.bin, local_data_path: old.bin}]")
    bench.web.put("/a.bin", b"new!")

    bench.fetch("external_data: [{url: WEB/a.bin, local_data_path: new.bin}]")

    assert os.listdir(bench.model / "data") == ["new.bin"]
    assert (bench.model / "data/new.bin").read_text() == "new!"


def test_a_deployment_without_such_keys_any_more_gives_its_files_free(bench: Bench) -> None:
    bench.web.put("/a.bin", b"a")
    bench.fetch("external_data: [{url: WEB/a.bin, local_data_path: a.bin}]")

    bench.fetch("model_name: x")

    assert os.listdir(bench.model / "data") == []
    assert os.listdir(bench.folder / "cache/weights/references") == []


def test_a_released_deployment_leaves_its_files_to_the_others(bench: Bench) -> None:
    other = bench.folder / "other"
    shutil.copytree(bench.model, other)
    bench.web.put("/a.bin", b"x" * 80)
    bench.web.put("/b.bin", b"x" * 80)
    bench.env["PENSTOCK_WEIGHTS_CACHE_BYTES"] = "100"
    bench.fetch("external_data: [{url: WEB/a.bin, local_data_path: a.bin}]")
    with pytest.raises(WeightsError, match=r"/b\.bin: 80 B more do not fit .* in use by deployments") as caught:
        bench.fetch("external_data: [{url: WEB/b.bin, local_data_path: b.bin}]", other)
    assert caught.value.key == "external_data[0].url"

    release(bench.folder / "cache", bench.model)
    bench.fetch("external_data: [{url: WEB/b.bin, local_data_path: b.bin}]", other)

    assert not (bench.model / "data/a.bin").is_symlink()
    assert (other / "data/b.bin").stat().st_size == 80
    assert any(line.startswith("removing http://") and "/a.bin from the weights cache" in line for line in bench.lines)


def test_releasing_without_a_cache_makes_none(bench: Bench) -> None:
    release(bench.folder / "cache", bench.model)

    assert not (bench.folder / "cache").exists()


def test_a_source_that_is_not_there_leaves_no_link(bench: Bench) -> None:
    bench.web.put("/a.bin", b"a")

    with pytest.raises(WeightsError, match=r"weights\[1\]\.source: http.*/none answered 404") as caught:
        bench.fetch(
            "weights: [{source: WEB/a.bin, mount_location: FOLDER/x.bin}, {source: WEB/none, mount_location: FOLDER/y}]"
        )

    assert "check the address" in str(caught.value)
    assert not (bench.folder / "x.bin").is_symlink()


def test_reports_come_from_one_thread_at_a_time(bench: Bench) -> None:
    inside = 0
    overlaps = 0
    moment = threading.Event()

    def report(_: str) -> None:
        nonlocal inside, overlaps
        inside += 1
        overlaps += inside > 1
        moment.wait(0.005)
        inside -= 1

    for number in range(8):
        bench.web.put(f"/{number}.bin", b"a")
    entries = ", ".join(f"{{url: WEB/{number}.bin, local_data_path: '{number}'}}" for number in range(8))

    fetch_all(bench.config(f"external_data: [{entries}]"), bench.model, bench.folder / "cache", report, env=bench.env)

    assert overlaps == 0


def test_secrets_of_the_environment_open_sources(bench: Bench) -> None:
    bench.web.put("/a.bin", b"a").password = "Bearer geheim"
    bench.env["TRUSS_SECRET_mine"] = "geheim"

    (placed,) = bench.fetch("weights: [{source: WEB/a.bin, mount_location: FOLDER/x.bin, auth_secret_name: mine}]")

    assert placed.way == "fetched"
    assert "geheim" not in "".join(bench.lines)
