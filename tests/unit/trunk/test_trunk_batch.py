from __future__ import annotations

import pytest
from google.protobuf.descriptor import Descriptor
from hypothesis import given
from hypothesis import strategies as st

from penstock.api.trunk.v1 import trunk_pb2
from penstock.trunk.batch import BadBatchError, Batch, Kind, decode, encode
from penstock.trunk.limits import BATCH_ITEMS_MAX, BATCH_WIRE_BYTES_MAX, STREAMS_MAX

MESSAGES = (trunk_pb2.ConnectRequest, trunk_pb2.ConnectResponse)

UINT32 = st.integers(0, 2**32 - 1)
SIZES = st.one_of(st.integers(0, 300), st.sampled_from([8191, 8192, 8193, 16383, 16384, 70_000]))
ITEMS = st.lists(st.tuples(SIZES.map(lambda size: b"d" * size), UINT32, st.integers(0, 255)), max_size=8)


@pytest.mark.parametrize("message", MESSAGES)
@given(items=ITEMS, credit=st.dictionaries(UINT32, UINT32, max_size=5))
def test_a_batch_comes_back_as_it_was_encoded(
    message: type[trunk_pb2.ConnectRequest], items: list[tuple[bytes, int, int]], credit: dict[int, int]
) -> None:
    data, stream, kind = ([*column] for column in zip(*items, strict=True)) if items else ([], [], [])

    payload = encode(
        message, data=data, data_bytes=sum(map(len, data)), stream=stream, kind=bytearray(kind), credit=credit
    )

    assert decode(message, payload) == Batch(data, stream, bytes(kind), list(credit), list(credit.values()))
    # Whatever form encodes fastest, it is this protobuf message.
    assert message.FromString(payload) == message(
        data=data, stream=stream, kind=bytes(kind), credit_stream=credit.keys(), credit_bytes=credit.values()
    )


@given(items=ITEMS)
def test_a_batch_of_any_protobuf_encoder_is_decoded(items: list[tuple[bytes, int, int]]) -> None:
    data, stream, kind = ([*column] for column in zip(*items, strict=True)) if items else ([], [], [])
    message = trunk_pb2.ConnectRequest(data=data, stream=stream, kind=bytes(kind))

    assert decode(trunk_pb2.ConnectRequest, message.SerializeToString()) == Batch(data, stream, bytes(kind), [], [])


def test_both_directions_have_the_same_fields() -> None:
    def fields(message: Descriptor) -> list[tuple[object, ...]]:
        return [
            (field.number, field.name, field.type, field.is_repeated, field.is_packed, field.message_type)
            for field in message.fields
        ]

    request, response = (message.DESCRIPTOR for message in MESSAGES)

    assert fields(request) == fields(response)


def test_kinds_are_those_of_the_interface() -> None:
    names = {
        name.removeprefix("ITEM_KIND_"): number
        for name, number in trunk_pb2.ItemKind.items()
        if number != trunk_pb2.ITEM_KIND_UNSPECIFIED
    }

    assert {kind.name: kind.value for kind in Kind} == names


def test_data_kinds_are_below_control_kinds_and_whole_messages_below_segments() -> None:
    assert sorted(Kind) == list(Kind)
    assert [kind for kind in Kind if kind <= Kind.TEXT] == [Kind.BINARY, Kind.TEXT]
    assert min(kind for kind in Kind if kind > Kind.LAST) is Kind.HELLO


def test_the_greatest_batch_is_decoded() -> None:
    items, credit = BATCH_ITEMS_MAX, dict.fromkeys(range(1, STREAMS_MAX + 1), 2**32 - 1)
    payload = encode(
        trunk_pb2.ConnectRequest,
        data=[b""] * items,
        data_bytes=0,
        stream=[2**32 - 1] * items,
        kind=bytes([Kind.BINARY]) * items,
        credit=credit,
    )

    assert len(decode(trunk_pb2.ConnectRequest, payload).credit_stream) == STREAMS_MAX


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (trunk_pb2.ConnectRequest(data=[b""], kind=b"\1"), "arrays differ in length: 1, 0, 1"),
        (trunk_pb2.ConnectRequest(data=[b""], stream=[1]), "arrays differ in length: 1, 1, 0"),
        (trunk_pb2.ConnectRequest(stream=[1], kind=b"\1"), "arrays differ in length: 0, 1, 1"),
        (trunk_pb2.ConnectRequest(credit_stream=[1]), "credit arrays differ in length"),
        (
            trunk_pb2.ConnectRequest(data=[b""] * 513, stream=[1] * 513, kind=b"\1" * 513),
            "batch of 513 items exceeds 512",
        ),
        (
            trunk_pb2.ConnectRequest(credit_stream=[1] * 65_537, credit_bytes=[1] * 65_537),
            "credit for 65537 streams exceeds 65536",
        ),
        (
            trunk_pb2.ConnectRequest(data=[b"x" * 9000] + [b""] * 600, stream=[1] * 601, kind=b"\1" * 601),
            "batch of 601 items exceeds 512",
        ),
    ],
)
def test_a_batch_whose_arrays_do_not_fit_is_refused(message: trunk_pb2.ConnectRequest, text: str) -> None:
    with pytest.raises(BadBatchError, match=text):
        decode(trunk_pb2.ConnectRequest, message.SerializeToString())


def test_a_batch_that_is_too_large_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(BadBatchError, match="exceeds"):
        decode(trunk_pb2.ConnectRequest, bytes(BATCH_WIRE_BYTES_MAX + 1))


@pytest.mark.parametrize(
    "payload", [b"\xff", b"\x0a\x05abc", b"\x0a\xff\xff\xff\xff\xff" + bytes(9000), b"\x0a\x80\x80\x04" + bytes(9000)]
)
def test_what_is_no_protobuf_is_refused(payload: bytes) -> None:
    with pytest.raises(BadBatchError, match="not valid protobuf"):
        decode(trunk_pb2.ConnectRequest, payload)


@given(payload=st.one_of(st.binary(max_size=200), st.binary(max_size=50).map(lambda end: b"\x0a\x80\x40" + end * 300)))
def test_any_bytes_are_decoded_or_refused(payload: bytes) -> None:
    try:
        batch = decode(trunk_pb2.ConnectResponse, payload)
    except BadBatchError:
        return
    assert len(batch.data) == len(batch.stream) == len(batch.kind)
