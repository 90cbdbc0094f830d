"""Responses of bytes that are there already."""

from __future__ import annotations

import pytest

from penstock.chains.remote.encoding_buffers import Part
from penstock.chains.serving.responses import JOINED_BYTES_MAX, EncodedResponse
from penstock_testing.asgi_call import Answer, AsgiCall
from penstock_testing.virtual_time import run_virtual

BIG = bytes(JOINED_BYTES_MAX)


def sent(parts: tuple[Part, ...]) -> Answer:
    return run_virtual(AsgiCall().run(EncodedResponse(parts, "a/b")))


@pytest.mark.parametrize(
    ("parts", "got"),
    [
        ((b"",), []),
        ((b"ab",), [b"ab"]),
        ((b"ab", memoryview(b"cd")), [b"abcd"]),
        ((b"ab", memoryview(BIG)), [b"ab", BIG]),
        ((BIG + b"x",), [BIG + b"x"]),
    ],
    ids=["empty", "one", "small ones", "big ones", "big one"],
)
def test_small_parts_are_joined_and_big_ones_are_not(parts: tuple[Part, ...], got: list[bytes]) -> None:
    answer = sent(parts)

    assert [bytes(part) for part in answer.parts] == got
    assert answer.is_complete
    assert answer.headers == {"content-length": str(sum(map(len, got))), "content-type": "a/b"}
