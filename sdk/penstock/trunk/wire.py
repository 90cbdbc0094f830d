"""Protobuf wire form of the `data` field of a batch, for batches of large items.

upb copies each item into an arena and then again, in a buffer that grows by doubling: 59 us to encode and 8 us to
decode an item of 64 KiB. Joining the same bytes costs 5 and 3 us. Small items are cheaper in upb. Both forms are the
same protobuf message; which one is used shows nowhere but in the time.
"""

from __future__ import annotations

from collections.abc import Sequence

from penstock.trunk.limits import BATCH_ITEMS_MAX

LARGE_ITEM_BYTES = 8 * 1024
"""Average size of items from which joining is cheaper than upb, by more than its overhead for each item."""

DATA_TAG = 0x0A
"""Field 1, length-delimited: `data` in ConnectRequest and ConnectResponse."""

_TAG = bytes((DATA_TAG,))


class MalformedError(ValueError):
    """The bytes are not a protobuf message."""


def join_data(data: Sequence[bytes], rest: bytes) -> bytes:
    """Encodes `data` as field 1, in front of the encoded other fields."""
    parts: list[bytes] = []
    for item in data:
        parts.append(_prefix(len(item)))
        parts.append(item)
    parts.append(rest)
    return b"".join(parts)


def split_data(payload: bytes) -> tuple[list[bytes], bytes]:
    """Takes the leading entries of field 1 off; returns them and the rest, still encoded.

    It stops behind the most that a batch may hold: a peer cannot keep it busy with millions of empty ones.

    Raises:
        MalformedError: a length does not fit.
    """
    data: list[bytes] = []
    position, end = 0, len(payload)
    while position < end and payload[position] == DATA_TAG and len(data) <= BATCH_ITEMS_MAX:
        position += 1
        length = shift = 0
        while True:
            if position >= end or shift > 28:
                raise MalformedError("length of an item is malformed")
            byte = payload[position]
            position += 1
            length |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
        stop = position + length
        if stop > end:
            raise MalformedError("item is longer than its batch")
        data.append(payload[position:stop])
        position = stop
    return data, payload[position:]


def starts_large(payload: bytes) -> bool:
    """Whether the first item of an encoded batch is large, which tells how the rest is best decoded."""
    # Three bytes of length hold 16 KiB and more; two with a high second byte hold 8 KiB and more.
    if len(payload) < LARGE_ITEM_BYTES or payload[0] != DATA_TAG:
        return False
    return payload[1] >= 0x80 and payload[2] >= LARGE_ITEM_BYTES >> 7


def _prefix(length: int) -> bytes:
    """Tag and length of one entry of field 1."""
    if length < 0x80:
        return bytes((DATA_TAG, length))
    prefix = bytearray(_TAG)
    while length > 0x7F:
        prefix.append(length & 0x7F | 0x80)
        length >>= 7
    prefix.append(length)
    return bytes(prefix)
