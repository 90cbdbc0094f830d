"""Which requests are in msgpack."""

from __future__ import annotations

import pytest

from penstock_runner.predict.codec import is_binary


@pytest.mark.parametrize(
    "content_type",
    [
        "application/octet-stream",
        "Application/Octet-Stream",
        "application/octet-stream; charset=utf-8",
        " application/octet-stream ;x",
    ],
)
def test_octet_stream_means_msgpack(content_type: str) -> None:
    assert is_binary(content_type)


@pytest.mark.parametrize(
    "content_type",
    [None, "", "application/json", "text/plain; x=application/octet-stream", "application/octet-streams"],
)
def test_anything_else_means_json(content_type: str | None) -> None:
    assert not is_binary(content_type)
