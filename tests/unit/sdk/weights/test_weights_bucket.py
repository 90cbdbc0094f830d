from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import fsspec
import pytest

from penstock.weights.bucket import list_bucket
from penstock.weights.errors import TransferError, WeightsError
from penstock.weights.patterns import Patterns
from penstock.weights.remote_file import Listing
from penstock.weights.sources import BucketSource

KEY = "weights[0].source"
FOLDER = BucketSource("s3", "bucket/llama", "s3://bucket/llama")


class Stores:
    """Opens the memory file system of fsspec in place of an object store, and notes how it was asked."""

    def __init__(self) -> None:
        self.memory = fsspec.filesystem("memory")
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, protocol: str, **options: Any) -> Any:
        self.asked.append((protocol, options))
        return self.memory


@pytest.fixture
def stores() -> Iterator[Stores]:
    stores = Stores()
    stores.memory.pipe({"/bucket/llama/config.json": b"{}", "/bucket/llama/sub/model.bin": b"0123456789"})
    yield stores
    stores.memory.store.clear()


def ask(stores: Stores, source: BucketSource = FOLDER, secret: str | None = None, *allow: str) -> Listing:
    return list_bucket(source, Patterns(allow), key=KEY, secret=secret, open_file_system=stores)


def test_a_folder_lists_the_files_below_it(stores: Stores) -> None:
    listing = ask(stores)

    assert [(file.name, file.size) for file in listing.files] == [("config.json", 2), ("sub/model.bin", 10)]
    assert listing.is_folder


def test_a_single_object_is_a_file(stores: Stores) -> None:
    listing = ask(stores, BucketSource("s3", "bucket/llama/config.json", "s3://bucket/llama/config.json"))

    assert [file.name for file in listing.files] == ["config.json"]
    assert not listing.is_folder


def test_a_file_is_read_from_where_it_was_left_while_it_is_the_same(stores: Stores) -> None:
    origin = ask(stores, FOLDER, None, "sub/*").files[0].origin
    whole = origin.open(0, "")

    assert (whole.total, whole.read(4)) == (10, b"0123")
    whole.close()
    # The memory file system gives no mark of a version, so nothing is ever joined.
    rest = origin.open(4, whole.validator)
    assert (rest.offset, rest.read(100)) == (0, b"0123456789")
    rest.close()


def test_a_store_with_marks_of_versions_resumes(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"bucket/llama/x.bin": {"type": "file", "size": 10, "ETag": '"1"'}}
    monkeypatch.setattr(stores.memory, "find", lambda path, detail: found)
    stores.memory.pipe({"/bucket/llama/x.bin": b"0123456789"})
    origin = ask(stores).files[0].origin

    opened = origin.open(4, '"1"')
    assert (opened.offset, opened.read(100)) == (4, b"456789")
    changed = origin.open(4, '"0"')
    assert (changed.offset, changed.read(100)) == (0, b"0123456789")


def test_the_revision_changes_with_the_content(stores: Stores) -> None:
    before = ask(stores).revision
    assert ask(stores).revision == before

    stores.memory.pipe({"/bucket/llama/config.json": b"{...}"})

    assert ask(stores).revision != before


def test_nothing_there_and_nothing_wanted_are_errors(stores: Stores) -> None:
    with pytest.raises(WeightsError, match=r"no file that is wanted \(2 in all"):
        ask(stores, FOLDER, None, "*.gguf")
    with pytest.raises(WeightsError, match=r"no file that is wanted \(0 in all"):
        ask(stores, BucketSource("s3", "bucket/none", "s3://bucket/none"))


def test_a_secret_opens_the_store(stores: Stores) -> None:
    secret = {"access_key_id": "k", "secret_access_key": "s", "region": "eu", "aws_session_token": "t"}

    ask(stores, BucketSource("s3", "bucket/llama", "r2://…", endpoint="https://e"), json.dumps(secret))
    ask(stores, BucketSource("gs", "bucket/llama", "gs://…"), '{"type": "service_account"}')
    ask(stores, BucketSource("abfs", "bucket/llama", "azure://…", account="acct"), '{"account_key": "k", "other": 1}')
    ask(stores)

    protocols = [protocol for protocol, _ in stores.asked]
    options = [{**asked} for _, asked in stores.asked]
    for asked in options:
        assert (asked.pop("skip_instance_cache"), asked.pop("use_listings_cache")) == (True, False)
    assert protocols == ["s3", "gs", "abfs", "s3"]
    assert options == [
        {"key": "k", "secret": "s", "token": "t", "client_kwargs": {"endpoint_url": "https://e", "region_name": "eu"}},
        {"token": {"type": "service_account"}},
        {"account_name": "acct", "account_key": "k"},
        {},
    ]


@pytest.mark.parametrize("secret", ["abc", "[]", '{"access_key_id": "k"}'])
def test_a_secret_of_another_form_is_refused_without_being_shown(stores: Stores, secret: str) -> None:
    with pytest.raises(WeightsError, match=r"docs/weights\.md") as caught:
        ask(stores, FOLDER, secret)

    assert "abc" not in str(caught.value)


def test_a_missing_package_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_driver(protocol: str, **options: Any) -> Any:
        raise ImportError("Install s3fs to access S3")

    with pytest.raises(WeightsError, match=r"package s3fs, .*pip install 'penstock\[weights\]' s3fs"):
        list_bucket(FOLDER, Patterns(), key=KEY, secret=None, open_file_system=no_driver)

    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(WeightsError, match="package fsspec"):
        list_bucket(FOLDER, Patterns(), key=KEY, secret=None)


@pytest.mark.parametrize(("error", "retryable"), [(PermissionError("no"), False), (RuntimeError("busy\nmore"), True)])
def test_an_error_of_a_store_says_whether_it_may_pass(
    stores: Stores, monkeypatch: pytest.MonkeyPatch, error: Exception, retryable: bool
) -> None:
    def fail(*args: Any, **options: Any) -> Any:
        raise error

    origin = ask(stores).files[0].origin
    monkeypatch.setattr(stores.memory, "find", fail)
    monkeypatch.setattr(stores.memory, "open", fail)

    for attempt in (lambda: ask(stores), lambda: origin.open(0, "")):
        with pytest.raises(TransferError, match=f"s3://bucket/llama cannot be read: {type(error).__name__}") as caught:
            attempt()
        assert caught.value.retryable is retryable
        assert "more" not in str(caught.value)


@pytest.mark.parametrize("name", ["bucket/llama/../x", "bucket/llama/a\\b"])
def test_an_object_whose_name_leads_out_is_refused(stores: Stores, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(stores.memory, "find", lambda path, detail: {name: {"type": "file", "size": 1}})

    with pytest.raises(WeightsError):
        ask(stores)


class NoCredentialsError(Exception):
    """Stands for the error of that name of the driver for S3."""


def test_a_public_bucket_opens_without_credentials(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    find = stores.memory.find

    def refuse_at_first(path: str, detail: bool) -> Any:
        if "anon" not in stores.asked[-1][1]:
            raise NoCredentialsError
        return find(path, detail=detail)

    monkeypatch.setattr(stores.memory, "find", refuse_at_first)

    assert len(ask(stores).files) == 2
    assert stores.asked[-1][1]["anon"] is True


def test_a_bucket_that_is_not_public_needs_a_secret(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, detail: bool) -> Any:
        raise NoCredentialsError

    monkeypatch.setattr(stores.memory, "find", refuse)

    with pytest.raises(TransferError, match="s3://bucket/llama needs a secret") as caught:
        ask(stores)

    assert not caught.value.retryable
