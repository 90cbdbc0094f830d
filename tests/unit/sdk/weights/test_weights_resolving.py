from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from penstock.truss import parse_config
from penstock.weights.cache import Cache
from penstock.weights.errors import WeightsError
from penstock.weights.http_client import HttpClient
from penstock.weights.items import Item, read_items
from penstock.weights.manifest import CachedFile, Manifest
from penstock.weights.resolving import Resolved, Resolver
from penstock.weights.retrying import RetryPolicy
from penstock.weights.settings import FetchSettings
from penstock_testing.faulty_web_server import Fault, FaultyWebServer

CONTENT = b"content"
DIGEST = hashlib.sha256(CONTENT).hexdigest()
COMMIT = "c0ffee" + "0" * 34


class Bench:
    """A resolver with a cache of its own."""

    def __init__(self, folder: Path, web: FaultyWebServer, secrets: Mapping[str, str] | None = None) -> None:
        self.lines: list[str] = []
        self.folder = folder
        self.cache = Cache(folder, bytes_max=10**6, report=self.lines.append, stop=threading.Event())
        self.resolver = Resolver(
            cache=self.cache,
            client=HttpClient(timeout_s=5),
            settings=FetchSettings(hub_endpoint=web.url("/")[:-1], hub_token="of the machine"),
            secrets=secrets or {},
            retry=RetryPolicy(failures_max=3, delay_first_s=0.001),
            stop=threading.Event(),
            report=self.lines.append,
        )

    def item(self, source: str, **keys: str) -> Item:
        extra = "".join(f", {name}: {value}" for name, value in keys.items())
        text = f"weights: [{{source: '{source}', mount_location: /m.bin{extra}}}]"
        (item,) = read_items(parse_config(text.encode(), name_default="m"), self.folder)
        return item

    def resolve(self, source: str, **keys: str) -> Resolved:
        return self.resolver.resolve(self.item(source, **keys))

    def keep(self, resolved: Resolved) -> None:
        """Puts a copy of what was resolved into the cache."""
        with self.cache.holding(resolved.key, lambda: None):
            self.cache.plan(resolved.key, "x", 7)
            (self.cache.partial_files_of(resolved.key) / "x.bin").write_bytes(CONTENT)
            file = CachedFile("x.bin", 7, DIGEST)
            manifest = Manifest("x", resolved.source_key, resolved.revision, False, (file,), 1.0)
            self.cache.publish(resolved.key, manifest)


def test_the_key_follows_the_content_and_the_patterns(tmp_path: Path, web: FaultyWebServer) -> None:
    bench = Bench(tmp_path, web)
    web.put("/x.bin", b"one")
    first = bench.resolve(web.url("/x.bin"))
    again = bench.resolve(web.url("/x.bin"))
    chosen = bench.resolve(web.url("/x.bin"), allow_patterns="['*.bin']")
    web.put("/x.bin", b"two")
    changed = bench.resolve(web.url("/x.bin"))

    assert first.key == again.key
    assert len({first.key, chosen.key, changed.key}) == 3
    assert first.source_key == changed.source_key != chosen.source_key


def test_a_copy_of_the_same_revision_is_found(tmp_path: Path, web: FaultyWebServer) -> None:
    bench = Bench(tmp_path, web)
    web.put("/x.bin", CONTENT)
    bench.keep(bench.resolve(web.url("/x.bin")))

    found = bench.resolve(web.url("/x.bin")).cached

    assert found is not None
    assert found.files == (CachedFile("x.bin", 7, DIGEST),)


def test_content_fixed_by_its_checksum_is_not_asked_for_again(tmp_path: Path, web: FaultyWebServer) -> None:
    bench = Bench(tmp_path, web)
    page = web.put("/x.bin", CONTENT)
    bench.keep(bench.resolve(web.url("/x.bin"), sha256=DIGEST))
    asked = len(web.seen)
    page.etag = '"another"'

    found = bench.resolve(web.url("/x.bin"), sha256=DIGEST)

    assert found.cached is not None
    assert len(web.seen) == asked


def test_a_commit_is_not_asked_for_again(tmp_path: Path, web: FaultyWebServer) -> None:
    bench = Bench(tmp_path, web)
    answer = {"sha": COMMIT, "siblings": [{"rfilename": "x.bin", "size": 7}]}
    web.put(f"/api/models/o/n/revision/{COMMIT}", json.dumps(answer).encode())
    bench.keep(bench.resolve(f"hf://o/n@{COMMIT}"))
    asked = len(web.seen)

    assert bench.resolve(f"hf://o/n@{COMMIT}").cached is not None
    assert len(web.seen) == asked


def test_a_file_without_any_mark_of_its_version_is_new_each_time(tmp_path: Path, web: FaultyWebServer) -> None:
    bench = Bench(tmp_path, web)
    web.put("/x.bin", CONTENT, etag="none")

    assert bench.resolve(web.url("/x.bin")).key != bench.resolve(web.url("/x.bin")).key


def test_a_source_that_cannot_be_asked_is_replaced_by_its_copy(tmp_path: Path, web: FaultyWebServer) -> None:
    bench = Bench(tmp_path, web)
    page = web.put("/x.bin", CONTENT)
    bench.keep(bench.resolve(web.url("/x.bin")))
    page.faults.extend([Fault(status=503)] * 5)

    found = bench.resolve(web.url("/x.bin"))

    assert found.cached is not None
    assert found.listing is None
    assert "using the copy of" in bench.lines[-1]


def test_a_refusal_is_not_covered_up_by_a_copy(tmp_path: Path, web: FaultyWebServer) -> None:
    bench = Bench(tmp_path, web)
    web.put("/x.bin", CONTENT)
    bench.keep(bench.resolve(web.url("/x.bin")))
    del web.pages["/x.bin"]

    with pytest.raises(WeightsError, match="answered 404") as caught:
        bench.resolve(web.url("/x.bin"))

    assert caught.value.key == "weights[0].source"


def test_a_server_that_fails_for_a_moment_is_asked_again(tmp_path: Path, web: FaultyWebServer) -> None:
    bench = Bench(tmp_path, web)
    web.put("/x.bin", CONTENT, Fault(status=503), Fault(status=500))

    assert bench.resolve(web.url("/x.bin")).listing is not None
    assert len(bench.lines) == 2
    assert "trying again in" in bench.lines[0]


def test_a_server_that_goes_on_failing_is_given_up(tmp_path: Path, web: FaultyWebServer) -> None:
    web.put("/x.bin", CONTENT, *[Fault(status=503)] * 9)

    with pytest.raises(WeightsError, match="answered 503"):
        Bench(tmp_path, web).resolve(web.url("/x.bin"))

    assert len(web.seen) == 3


def test_a_secret_opens_a_source_and_a_missing_one_is_named(tmp_path: Path, web: FaultyWebServer) -> None:
    web.put("/x.bin", CONTENT).password = "Bearer geheim"
    with_secret = Bench(tmp_path / "a", web, {"mine": "geheim"})
    wrong = Bench(tmp_path / "b", web, {"mine": "other"})
    without = Bench(tmp_path / "c", web)

    assert with_secret.resolve(web.url("/x.bin"), auth_secret_name="mine").listing is not None
    with pytest.raises(WeightsError, match=r"answered 401 .*; the secret is 'mine' \(TRUSS_SECRET_mine\)"):
        wrong.resolve(web.url("/x.bin"), auth_secret_name="mine")
    with pytest.raises(
        WeightsError, match=r"'mine' has no value; set .* TRUSS_SECRET_mine, or write it to /secrets/m"
    ) as caught:
        without.resolve(web.url("/x.bin"), auth_secret_name="mine")
    assert caught.value.key == "weights[0].auth_secret_name"


def test_the_token_of_the_machine_opens_the_hub_where_no_secret_is_given(tmp_path: Path, web: FaultyWebServer) -> None:
    answer = {"sha": COMMIT, "siblings": [{"rfilename": "x.bin", "size": 7}]}
    web.put("/api/models/o/n/revision/main", json.dumps(answer).encode())

    Bench(tmp_path / "a", web).resolve("hf://o/n")
    Bench(tmp_path / "b", web, {"hf_access_token": "own"}).resolve("hf://o/n")

    assert [seen.headers["authorization"] for seen in web.seen] == ["Bearer of the machine", "Bearer own"]


def test_a_file_that_the_patterns_leave_out_is_an_error(tmp_path: Path, web: FaultyWebServer) -> None:
    with pytest.raises(WeightsError, match=r"x\.bin is not wanted"):
        Bench(tmp_path, web).resolve(web.url("/x.bin"), ignore_patterns="['*.bin']")
