from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest

from penstock.weights.digests import file_sha256, server_sha256

CONTENT = b"content"
HEX = hashlib.sha256(CONTENT).hexdigest()
BASE64 = base64.b64encode(hashlib.sha256(CONTENT).digest()).decode()


@pytest.mark.parametrize(
    ("headers", "digest"),
    [
        ({}, None),
        ({"x-linked-etag": f'"{HEX}"'}, HEX),
        ({"x-linked-etag": '"d41d8cd98f00b204e9800998ecf8427e"'}, None),
        ({"repr-digest": f"sha-256=:{BASE64}:"}, HEX),
        ({"repr-digest": f"sha-512=:AAAA:, sha-256=:{BASE64}:"}, HEX),
        ({"digest": f"SHA-256={BASE64}"}, HEX),
        ({"digest": "SHA-256=not base64!"}, None),
        ({"digest": "SHA-256=AAAA"}, None),
        ({"etag": f'"{HEX}"'}, None),
    ],
)
def test_a_servers_checksum_is_read(headers: dict[str, str], digest: str | None) -> None:
    assert server_sha256(headers) == digest


def test_a_file_has_the_checksum_of_its_content(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(CONTENT)

    assert file_sha256(file).hexdigest() == HEX
