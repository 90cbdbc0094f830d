from __future__ import annotations

import json
from typing import Any

import pytest

from penstock.weights.errors import TransferError, WeightsError
from penstock.weights.http_client import Credential, HttpClient
from penstock.weights.hub import list_repository
from penstock.weights.patterns import Patterns
from penstock.weights.remote_file import Listing
from penstock.weights.sources import HubSource
from penstock_testing.faulty_web_server import FaultyWebServer

COMMIT = "c0ffee" + "0" * 34
DIGEST = "d" * 64
API = "/api/models/owner/name/revision/main"
ANSWER = {
    "sha": COMMIT,
    "siblings": [
        {"rfilename": "config.json", "size": 12, "blobId": "x"},
        {"rfilename": "sub dir/model.bin", "size": 130, "lfs": {"sha256": DIGEST, "size": 5000}},
        {"rfilename": "README.md"},
    ],
}


def ask(web: FaultyWebServer, patterns: Patterns | None = None, revision: str = "main") -> Listing:
    return list_repository(
        HubSource("owner/name", revision),
        patterns or Patterns(),
        key="weights[0].source",
        endpoint=web.url("/")[:-1],
        client=HttpClient(timeout_s=5),
        credential=Credential("Bearer t"),
    )


def test_a_repository_lists_its_files_at_a_commit(web: FaultyWebServer) -> None:
    web.put(API, json.dumps(ANSWER).encode())

    listing = ask(web)

    assert listing.revision == COMMIT
    assert listing.is_folder
    facts = [(file.name, file.size, file.sha256) for file in listing.files]
    assert facts == [("config.json", 12, None), ("sub dir/model.bin", 5000, DIGEST), ("README.md", None, None)]
    assert web.seen[0].headers["authorization"] == "Bearer t"


def test_a_file_is_read_at_the_commit_whatever_happens_to_the_branch(web: FaultyWebServer) -> None:
    web.put(API, json.dumps(ANSWER).encode())
    web.put(f"/owner/name/resolve/{COMMIT}/sub%20dir/model.bin", b"weights")

    opened = ask(web).files[1].origin.open(0, "")

    assert (opened.read(100), opened.validator) == (b"weights", COMMIT)
    opened.close()


def test_patterns_choose_among_the_files(web: FaultyWebServer) -> None:
    web.put(API, json.dumps(ANSWER).encode())

    assert [file.name for file in ask(web, Patterns(("*.json", "*.md"), ("README*",))).files] == ["config.json"]
    with pytest.raises(WeightsError, match=r"no file that is wanted \(3 in all"):
        ask(web, Patterns(("*.gguf",)))


def test_a_revision_with_a_slash_is_one_part_of_the_address(web: FaultyWebServer) -> None:
    web.put("/api/models/owner/name/revision/refs%2Fpr%2F1", json.dumps(ANSWER).encode())

    assert ask(web, revision="refs/pr/1").revision == COMMIT


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a\\b", "a/../../b", ""])
def test_a_name_that_leads_out_is_refused(web: FaultyWebServer, name: str) -> None:
    web.put(API, json.dumps({"sha": COMMIT, "siblings": [{"rfilename": name}]}).encode())

    with pytest.raises(WeightsError) as caught:
        ask(web)

    assert caught.value.key == "weights[0].source"


@pytest.mark.parametrize(
    "answer", ["<html>", "[]", {}, {"sha": COMMIT}, {"sha": "../x", "siblings": []}, {"sha": COMMIT, "siblings": [1]}]
)
def test_an_answer_that_is_not_the_hubs_is_refused(web: FaultyWebServer, answer: Any) -> None:
    web.put(API, (answer if isinstance(answer, str) else json.dumps(answer)).encode())

    with pytest.raises(TransferError):
        ask(web)


def test_a_repository_that_is_closed_says_so(web: FaultyWebServer) -> None:
    web.put(API, b"").password = "Bearer other"

    with pytest.raises(TransferError, match=r"answered 401 .* it needs a secret") as caught:
        ask(web)

    assert not caught.value.retryable
