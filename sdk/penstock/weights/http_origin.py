"""Reads files from web servers."""

from __future__ import annotations

import http.client
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from penstock.weights.digests import server_sha256
from penstock.weights.errors import TransferError
from penstock.weights.http_client import Credential, HttpClient, refusal
from penstock.weights.remote_file import Opened
from penstock.weights.sources import redacted


@dataclass(frozen=True, slots=True)
class Facts:
    """What a server says of a file before its content."""

    revision: str
    """ETag, else time of the last change; empty when it gives neither."""
    size: int | None
    sha256: str | None


@dataclass(frozen=True, slots=True)
class HttpOrigin:
    """One URL."""

    client: HttpClient
    url: str
    credential: Credential | None = None
    pinned: str = ""
    """Not empty when the URL names content that can never change; parts are then joined without asking the server."""

    def open(self, offset: int, validator: str) -> Opened:
        """See Origin.open."""
        # Compressed content could not be resumed, and its length would be another one.
        headers = {"Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
            if validator and not self.pinned:
                headers["If-Range"] = validator
        response, answered = self.client.get(self.url, headers, self.credential)
        try:
            return self._opened(response, answered, offset)
        except BaseException:
            response.close()
            raise

    def facts(self) -> Facts:
        """Asks the server without reading the content.

        With GET, because a signed URL is often valid for this method only. Raises TransferError.
        """
        response, answered = self.client.get(self.url, {"Accept-Encoding": "identity"}, self.credential)
        try:
            if response.status != 200:
                raise self._refusal(response, answered)
            revision = answered.get("etag", "").strip() or answered.get("last-modified", "").strip()
            return Facts(revision, _length(answered), server_sha256(answered))
        finally:
            response.close()

    def _opened(self, response: http.client.HTTPResponse, headers: Mapping[str, str], offset: int) -> Opened:
        if encoding := headers.get("content-encoding", "").replace("identity", ""):
            message = f"{redacted(self.url)} is sent with content-encoding {encoding}, which was not asked for"
            raise TransferError(message, retryable=False)
        length = _length(headers)
        if response.status == 206 and offset:
            begin, total = _content_range(headers.get("content-range", ""))
            if begin != offset:
                message = f"{redacted(self.url)} sent another part than was asked for"
                raise TransferError(message, retryable=True, is_stale=True)
        elif response.status == 200:
            begin, total = 0, length
        elif response.status == 416 and offset:
            begin, total = 0, _unsatisfied(headers.get("content-range", ""))
            if total != offset:
                message = f"{redacted(self.url)} is shorter than what was fetched of it"
                raise TransferError(message, retryable=True, is_stale=True)
            begin = offset
        else:
            raise self._refusal(response, headers)
        return Opened(
            read=_Body(response, None if total is None else total - begin).read,
            close=response.close,
            offset=begin,
            total=total,
            validator=self.pinned or _strong(headers),
            sha256=server_sha256(headers),
        )

    def _refusal(self, response: http.client.HTTPResponse, headers: Mapping[str, str]) -> TransferError:
        return refusal(self.url, response.status, response.reason, headers, datetime.now(UTC))


class _Body:
    """Reads no further than the announced length: a server may leave the connection open after it."""

    def __init__(self, response: http.client.HTTPResponse, left: int | None) -> None:
        self._response = response
        self._left = left

    def read(self, count: int) -> bytes:
        wanted = count if self._left is None else min(count, self._left)
        if not wanted:
            return b""
        try:
            data = self._response.read1(wanted)
        except TimeoutError:
            raise TransferError("the server sent nothing for too long", retryable=True) from None
        except (http.client.HTTPException, OSError, ValueError) as exc:
            raise TransferError(f"the connection broke: {type(exc).__name__}", retryable=True) from None
        if self._left is not None:
            self._left -= len(data)
        return data


def _length(headers: Mapping[str, str]) -> int | None:
    value = headers.get("content-length", "").strip()
    return int(value) if re.fullmatch("[0-9]{1,18}", value) else None


def _content_range(value: str) -> tuple[int | None, int | None]:
    found = re.fullmatch(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)", value.strip())
    if found is None:
        return None, None
    return int(found[1]), None if found[2] == "*" else int(found[2])


def _unsatisfied(value: str) -> int | None:
    found = re.fullmatch(r"bytes \*/([0-9]{1,18})", value.strip())
    return int(found[1]) if found else None


def _strong(headers: Mapping[str, str]) -> str:
    """Returns what If-Range takes: a strong ETag, else a date; a weak ETag says nothing of bytes."""
    etag = headers.get("etag", "").strip()
    if etag.startswith('"'):
        return etag
    return "" if etag else headers.get("last-modified", "").strip()
