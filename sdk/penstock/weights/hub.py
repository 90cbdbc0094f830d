"""Repositories of the Hugging Face Hub: what they hold, without any library of theirs."""

from __future__ import annotations

import http.client
import json
import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from penstock.weights.errors import TransferError, WeightsError
from penstock.weights.http_client import Credential, HttpClient, refusal
from penstock.weights.http_origin import HttpOrigin
from penstock.weights.patterns import Patterns
from penstock.weights.remote_file import Listing, RemoteFile
from penstock.weights.safe_paths import relative_name
from penstock.weights.sources import HubSource

ANSWER_BYTES_MAX = 64 * 1024 * 1024
"""A list of files that is longer is refused; the largest repositories stay far below."""


def list_repository(
    source: HubSource,
    patterns: Patterns,
    *,
    key: str,
    endpoint: str,
    client: HttpClient,
    credential: Credential | None,
) -> Listing:
    """Returns the wanted files of a repository, and its commit as the revision.

    Raises:
        TransferError: the Hub cannot be asked, or refuses.
        WeightsError: it names files that no safe path leads to.
    """
    url = f"{endpoint}/api/models/{source.repo}/revision/{quote(source.revision, safe='')}?blobs=true"
    answer = _ask(url, client, credential)
    try:
        commit = str(answer["sha"])
        siblings = [(str(item["rfilename"]), *_size_and_digest(item)) for item in answer["siblings"]]
    except (KeyError, TypeError, ValueError) as exc:
        raise TransferError(f"{source} was answered by something that is not a Hub: {exc!r}", retryable=False) from None
    if not re.fullmatch("[0-9a-f]{7,64}", commit):
        raise TransferError(f"{source} has no commit in the Hub's answer", retryable=False)
    files = []
    for name, size, sha256 in siblings:
        if patterns.wants(name):
            safe = str(relative_name(name, key))
            address = f"{endpoint}/{source.repo}/resolve/{commit}/{quote(safe)}"
            origin = HttpOrigin(client, address, credential, pinned=commit)
            files.append(RemoteFile(name=safe, size=size, sha256=sha256, origin=origin))
    if not files:
        raise WeightsError(key, f"{source} has no file that is wanted ({len(siblings)} in all; {patterns})")
    return Listing(revision=commit, files=tuple(files), is_folder=True)


def _ask(url: str, client: HttpClient, credential: Credential | None) -> dict[str, Any]:
    response, headers = client.get(url, {"Accept": "application/json", "Accept-Encoding": "identity"}, credential)
    try:
        if response.status != 200:
            raise refusal(url, response.status, response.reason, headers, datetime.now(UTC))
        body = response.read(ANSWER_BYTES_MAX + 1)
    except (http.client.HTTPException, OSError) as exc:
        raise TransferError(f"the connection to the Hub broke: {type(exc).__name__}", retryable=True) from None
    finally:
        response.close()
    if len(body) > ANSWER_BYTES_MAX:
        raise TransferError("the Hub's list of files is too long", retryable=False)
    try:
        answer = json.loads(body)
    except ValueError:
        raise TransferError("the Hub's answer is not JSON", retryable=True) from None
    if not isinstance(answer, dict):
        raise TransferError("the Hub's answer is not a mapping", retryable=False)
    return answer


def _size_and_digest(item: dict[str, Any]) -> tuple[int | None, str | None]:
    lfs = item.get("lfs") or {}
    size = lfs.get("size", item.get("size"))
    digest = str(lfs.get("sha256") or lfs.get("oid") or "").removeprefix("sha256:").lower()
    valid = re.fullmatch("[0-9a-f]{64}", digest) is not None
    return (int(size) if isinstance(size, int) and size >= 0 else None), (digest if valid else None)
