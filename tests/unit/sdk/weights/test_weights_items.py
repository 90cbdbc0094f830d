from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from penstock.truss import TrussConfig, parse_config
from penstock.weights.errors import WeightsError
from penstock.weights.items import DataPath, HubCachePath, Item, MountPath, needs_files, read_items
from penstock.weights.patterns import Patterns
from penstock.weights.sources import BucketSource, HttpSource, HubSource, LocalSource

MODEL = Path("/models/mine")


def config(text: str) -> TrussConfig:
    return parse_config(text.encode(), name_default="model")


def items(text: str) -> tuple[Item, ...]:
    return read_items(config(text), MODEL)


def only(text: str) -> Item:
    (item,) = items(text)
    return item


def test_a_model_without_such_keys_needs_nothing() -> None:
    assert items("model_name: x") == ()
    assert not needs_files(config("model_name: x"))
    assert needs_files(config("external_data: [{url: 'https://h/x', local_data_path: x}]"))


def test_external_data_goes_into_the_data_folder() -> None:
    item = only("external_data: [{url: 'https://h/x.bin', local_data_path: a/b.bin}]")

    assert (item.key, item.source_key, item.place_key) == (
        "external_data[0]",
        "external_data[0].url",
        "external_data[0].local_data_path",
    )
    assert item.source == HttpSource("https://h/x.bin")
    assert item.place == DataPath(PurePosixPath("a/b.bin"))
    assert item.secret_name is None
    assert item.link_is_file


def test_weights_are_mounted() -> None:
    item = only(
        """
        weights:
        - source: hf://owner/name@v1
          mount_location: /models/llama
          auth_secret_name: my_secret
          allow_patterns: ["*.json"]
          ignore_patterns: ["x/"]
        """
    )

    assert item.source == HubSource("owner/name", "v1")
    assert item.place == MountPath(Path("/models/llama"))
    assert item.patterns == Patterns(("*.json",), ("x/",))
    assert (item.secret_name, item.needs_secret) == ("my_secret", True)


def test_a_public_repository_needs_no_secret_but_uses_the_usual_one() -> None:
    item = only("weights: [{source: 'hf://o/n', mount_location: /m}]")

    assert (item.secret_name, item.needs_secret) == ("hf_access_token", False)


@pytest.mark.parametrize(
    ("source", "mount", "is_file"),
    [
        ("https://h/weights.bin", "/m/weights.bin", True),
        ("https://h/weights.bin", "/m/other.bin", True),
        ("https://h/weights.bin", "/m/folder", False),
        ("/local/weights.bin", "/m/folder", False),
        ("s3://bucket/weights.bin", "/m/x.bin", True),
    ],
)
def test_the_ending_of_a_mount_says_whether_it_is_the_file(source: str, mount: str, is_file: bool) -> None:
    assert only(f"weights: [{{source: '{source}', mount_location: {mount}}}]").link_is_file is is_file


def test_a_model_cache_with_a_volume_is_mounted_below_app() -> None:
    item = only("model_cache: [{repo_id: o/n, revision: v2, use_volume: true, volume_folder: llama}]")

    assert item.source == HubSource("o/n", "v2")
    assert item.place == MountPath(Path("/app/model_cache/llama"))
    assert (item.secret_name, item.needs_secret) == ("hf_access_token", False)


def test_a_model_cache_without_a_volume_is_where_huggingface_hub_looks() -> None:
    item = only("hf_cache: [{repo_id: o/n, use_volume: false, runtime_secret_name: mine}]")

    assert item.place == HubCachePath()
    assert (item.secret_name, item.needs_secret) == ("mine", True)


@pytest.mark.parametrize(
    ("entry", "source", "place"),
    [
        (
            "{repo_id: 'gs://bucket/a', kind: gcs, use_volume: false}",
            BucketSource("gs", "bucket/a", "gs://bucket/a"),
            "/app/model_cache/bucket/a",
        ),
        (
            "{repo_id: bucket/a, kind: s3, use_volume: false}",
            BucketSource("s3", "bucket/a", "s3://bucket/a"),
            "/app/model_cache/bucket/a",
        ),
        (
            "{repo_id: /local/llama, use_volume: false}",
            LocalSource(Path("/local/llama")),
            "/app/model_cache/llama",
        ),
        (
            "{repo_id: 'https://h/x.bin', use_volume: false}",
            HttpSource("https://h/x.bin"),
            "/app/model_cache/x.bin",
        ),
        (
            "{repo_id: 'hf://o/n', revision: v3, use_volume: true, volume_folder: x}",
            HubSource("o/n", "v3"),
            "/app/model_cache/x",
        ),
    ],
)
def test_a_model_cache_of_another_kind(entry: str, source: object, place: str) -> None:
    item = only(f"model_cache: [{entry}]")

    assert item.source == source
    assert item.place == MountPath(Path(place))


@pytest.mark.parametrize(
    ("text", "key", "reason"),
    [
        ("weights: [{source: 'hf://o', mount_location: /etc/x}]", "weights[0].mount_location", "operating system"),
        ("weights: [{source: '../x', mount_location: /m}]", "weights[0].source", "must not lead out"),
        (
            "weights: [{source: /a, mount_location: /m}, {source: /b, mount_location: /m/sub}]",
            "weights[1].mount_location",
            r"/m/sub overlaps with weights\[0\] \(/m\)",
        ),
        (
            "external_data: [{url: 'http://h/a', local_data_path: a}, {url: 'http://h/a', local_data_path: a/b}]",
            "external_data[1].local_data_path",
            "overlaps",
        ),
        (
            f"external_data: [{{url: 'http://h/a#sha256={'1' * 64}', local_data_path: a, sha256: '{'2' * 64}'}}]",
            "external_data[0].sha256",
            "differs",
        ),
        (
            "model_cache: [{repo_id: o/n, use_volume: true, volume_folder: a}, "
            "{repo_id: o/m, use_volume: true, volume_folder: a}]",
            "model_cache[1].volume_folder",
            r"is that of model_cache\[0\]",
        ),
    ],
)
def test_what_cannot_be_placed_is_refused_with_its_key(text: str, key: str, reason: str) -> None:
    with pytest.raises(WeightsError, match=reason) as caught:
        items(text)

    assert caught.value.key == key


def test_a_digest_of_the_key_or_of_the_url_counts() -> None:
    one = only(f"external_data: [{{url: 'http://h/a', local_data_path: a, sha256: '{'1' * 64}'}}]")
    other = only(f"external_data: [{{url: 'http://h/a#sha256={'2' * 64}', local_data_path: a}}]")

    assert (one.sha256, other.sha256) == ("1" * 64, "2" * 64)
