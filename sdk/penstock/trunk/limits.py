"""Bounds of the trunk protocol. Both peers must agree on the ones marked [wire]."""

from __future__ import annotations

PROTOCOL_VERSION = 1
"""[wire] Peers with different versions end the trunk."""

SEGMENT_BYTES_MAX = 256 * 1024
"""[wire] Largest segment. Larger ones delay the small messages of other streams, smaller ones cost more per byte."""

BATCH_BYTES_MAX = 1024 * 1024
"""Data in a batch after which no further item is added.

At 128 KiB, messages of 4 KiB pass at 0.65 of the rate; 4 MiB gains nothing.
"""

BATCH_ITEMS_MAX = 512
"""[wire] Items in a batch."""

BATCH_WIRE_BYTES_MAX = 16 * 1024 * 1024
"""Largest encoded batch that gRPC may carry: far above what the two limits allow, so that it never ends a trunk."""

ITEM_COST = 64
"""[wire] Credit that a segment costs beside its length, so that empty messages are bounded too."""

WINDOW_BYTES = 512 * 1024
"""Credit that each side grants on every stream. It bounds what a stalled stream can hold: this much on each side."""

WINDOW_BYTES_MAX = 64 * 1024 * 1024
"""[wire] Largest window that a peer may grant."""

WINDOW_BYTES_MIN = SEGMENT_BYTES_MAX
"""[wire] Smallest window that a peer may grant."""

CREDIT_RETURN_BYTES = WINDOW_BYTES // 4
"""Consumed bytes after which credit is returned. Lower costs more credit items, higher stalls the peer earlier."""

QUANTUM_BYTES = 64 * 1024
"""About what one backlogged stream may add to a batch before the next one has its turn. Messages are cut there."""

SEGMENT_BYTES_MIN = 16 * 1024
"""A segment is not cut shorter than this to fit the credit or the turn; for more credit the stream waits instead."""

STREAMS_MAX = 65_536
"""Streams that may be open on one trunk; an edge that opens more breaks the protocol."""

STREAM_ID_MAX = 2**32 - 1
"""[wire] Ids are never used twice; an edge dials a new trunk before it runs out."""
