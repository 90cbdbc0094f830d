from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.api.trunk.v1 import trunk_pb2
from penstock.trunk.limits import BATCH_ITEMS_MAX
from penstock.trunk.wire import LARGE_ITEM_BYTES, MalformedError, join_data, split_data, starts_large

SIZES = st.one_of(st.integers(0, 300), st.sampled_from([127, 128, 8191, 8192, 16383, 16384, 2**21 - 1, 2**21]))
DATA = st.lists(SIZES.map(lambda size: b"d" * size), max_size=4)


@given(data=DATA, stream=st.lists(st.integers(0, 2**32 - 1), max_size=4))
def test_joined_items_are_the_message_that_protobuf_makes(data: list[bytes], stream: list[int]) -> None:
    rest = trunk_pb2.ConnectRequest(stream=stream, kind=b"\1\2").SerializeToString()

    payload = join_data(data, rest)

    assert payload == trunk_pb2.ConnectRequest(data=data, stream=stream, kind=b"\1\2").SerializeToString()
    assert split_data(payload) == (data, rest)


@given(size=st.one_of(st.integers(0, 3 * LARGE_ITEM_BYTES), st.integers(2**20, 2**20 + 300)))
def test_a_large_first_item_is_told_from_a_small_one(size: int) -> None:
    payload = join_data([bytes(size)], b"")

    assert starts_large(payload) == (size >= LARGE_ITEM_BYTES)


def test_many_small_items_do_not_start_large() -> None:
    assert not starts_large(join_data([b"x" * 100] * 200, b""))


@pytest.mark.parametrize(
    "payload", [b"\x0a", b"\x0a\x80", b"\x0a\x01", b"\x0a\x00\x0a\x7f", b"\x0a\xff\xff\xff\xff\xff\x01"]
)
def test_a_length_that_does_not_fit_is_refused(payload: bytes) -> None:
    with pytest.raises(MalformedError):
        split_data(payload)


def test_no_more_items_are_split_than_a_batch_may_hold() -> None:
    data, rest = split_data(join_data([b""] * 100_000, b""))

    assert len(data) == BATCH_ITEMS_MAX + 1
    assert len(rest) == 2 * (100_000 - len(data))
