from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.weights.errors import WeightsError
from penstock.weights.sources import (
    BucketSource,
    HttpSource,
    HubSource,
    LocalSource,
    Source,
    read_hub,
    read_source,
    redacted,
)

MODEL = Path("/models/mine")
DIGEST = "a" * 64


def read(text: str) -> Source:
    return read_source(text, key="weights[0].source", model_dir=MODEL)


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("/big/disk/model.bin", LocalSource(Path("/big/disk/model.bin"))),
        ("file:///big/a%20b", LocalSource(Path("/big/a b"))),
        ("weights/model.bin", LocalSource(MODEL / "weights/model.bin")),
        ("weights/", LocalSource(MODEL / "weights")),
        ("https://host/x.bin", HttpSource("https://host/x.bin")),
        ("HTTPS://host/x.bin?sig=1", HttpSource("https://host/x.bin?sig=1")),
        (f"https://host/x.bin#sha256={DIGEST.upper()}", HttpSource("https://host/x.bin", DIGEST)),
        ("https://host/x.bin#other", HttpSource("https://host/x.bin")),
        ("hf://owner/name", HubSource("owner/name", "main")),
        ("hf://owner/name@v1.0", HubSource("owner/name", "v1.0")),
        ("hf://gpt2@refs/pr/1", HubSource("gpt2", "refs/pr/1")),
        ("s3://bucket/a/b/", BucketSource("s3", "bucket/a/b", "s3://bucket/a/b/")),
        ("gs://bucket/a", BucketSource("gs", "bucket/a", "gs://bucket/a")),
        ("azure://acct/box/a", BucketSource("abfs", "box/a", "azure://acct/box/a", account="acct")),
        (
            "r2://id1.bucket/a",
            BucketSource("s3", "bucket/a", "r2://id1.bucket/a", endpoint="https://id1.r2.cloudflarestorage.com"),
        ),
    ],
)
def test_a_source_is_read(text: str, source: Source) -> None:
    assert read(text) == source


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("../other/model.bin", "must not lead out"),
        ("~/model.bin", "not expanded"),
        ("", "must be a path"),
        ("file://host/x", "must be file:///PATH"),
        ("ftp://host/x", "ftp:// is not supported"),
        ("https:///x", "with a host"),
        ("https://host/a b", "without blanks"),
        ("https://host:port/x", "not a valid URL"),
        ("https://host/a%2Fb", "backslashes"),
        ("https://host/..", "must not lead out"),
        ("https://host/x#sha256=12", "64 hexadecimal digits"),
        ("hf://owner/name/more", "must be hf://"),
        ("hf://../name", "must be hf://"),
        ("hf://owner/name@../x", "not the name of a revision"),
        ("s3://", "must be SCHEME"),
        ("s3://bucket/../x", "must be SCHEME"),
        ("s3://bucket/x@main", "must be SCHEME"),
        ("azure://container", "must be SCHEME"),
        ("r2://bucket", "must be SCHEME"),
    ],
)
def test_a_source_that_cannot_be_meant_is_refused_with_its_key(text: str, reason: str) -> None:
    with pytest.raises(WeightsError, match=reason) as caught:
        read(text)

    assert caught.value.key == "weights[0].source"


@given(
    st.text(max_size=60), st.sampled_from(["", "http://", "https://h/", "hf://", "s3://", "r2://", "file://", "gs://"])
)
def test_any_text_is_a_source_or_a_clear_error(text: str, scheme: str) -> None:
    try:
        source = read(scheme + text)
    except WeightsError:
        return

    if isinstance(source, LocalSource) and not (scheme + text).startswith(("/", "file:")):
        assert MODEL in source.path.parents


def test_the_revision_in_the_text_goes_before_the_other() -> None:
    assert read_hub("o/n@v2", key="", revision="v1").revision == "v2"
    assert read_hub("o/n", key="", revision="v1").revision == "v1"
    assert read_hub("o/n", key="").revision == "main"


def test_secrets_in_a_url_are_not_shown() -> None:
    source = HttpSource("https://user:pass@host:81/a/b.bin?sig=geheim")

    assert str(source) == "https://host:81/a/b.bin?…"
    assert source.file_name == "b.bin"
    assert redacted("https://[broken?sig=geheim") == "https://[broken"


def test_sources_show_what_they_are() -> None:
    assert str(HubSource("o/n")) == "hf://o/n@main"
    assert str(LocalSource(Path("/a"))) == "/a"
    assert str(read("s3://bucket/x")) == "s3://bucket/x"
    assert HttpSource("https://host/").file_name == "download"
