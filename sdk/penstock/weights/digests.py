"""Checksums that servers and repositories give for a file."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

READ_BYTES = 1024 * 1024


def server_sha256(headers: Mapping[str, str]) -> str | None:
    """Returns the SHA-256 of the whole file, in hexadecimal, when a response gives one; else None.

    Read are Repr-Digest (RFC 9530), Digest (RFC 3230) and the X-Linked-ETag of the Hugging Face Hub.
    """
    linked = headers.get("x-linked-etag", "").removeprefix("W/").strip('"').lower()
    if re.fullmatch("[0-9a-f]{64}", linked):
        return linked
    for name in ("repr-digest", "digest"):
        for part in headers.get(name, "").split(","):
            algorithm, _, value = part.strip().partition("=")
            if algorithm.lower() == "sha-256" and (digest := _from_base64(value.strip().strip(":"))):
                return digest
    return None


def file_sha256(path: Path) -> hashlib._Hash:
    """Returns the SHA-256 state over the content of `path`; raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(READ_BYTES):
            digest.update(block)
    return digest


def _from_base64(text: str) -> str | None:
    try:
        value = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return value.hex() if len(value) == 32 else None
