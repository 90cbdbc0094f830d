from __future__ import annotations

from penstock.weights.http_client import HttpClient
from penstock.weights.http_origin import HttpOrigin
from penstock.weights.remote_file import Listing, RemoteFile

ORIGIN = HttpOrigin(HttpClient(), "http://host/x")


def listing(*sizes: int | None) -> Listing:
    files = tuple(RemoteFile(name="x", size=size, sha256=None, origin=ORIGIN) for size in sizes)
    return Listing(revision="1", files=files, is_folder=True)


def test_the_length_of_all_is_known_only_when_each_is() -> None:
    assert listing(1, 2).bytes_total == 3
    assert listing(1, None).bytes_total is None
    assert listing().bytes_total == 0
