"""What is measured of a call between chainlets, and what it has to come to. Pure data."""

from __future__ import annotations

from dataclasses import dataclass

from penstock_bench.bars import Bar

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Row:
    """Calls from one process to another, each of which waits for its result.

    Attributes:
        kind: What is called: "note" (JSON) or "frame" (an array).
        in_flight: Calls that are under way at once.
        baselines: What it is compared with.
        bytes_both_ways: Payload of the argument and the result together; 0 where bytes are not the point.
    """

    key: str
    title: str
    kind: str
    in_flight: int
    baselines: tuple[str, ...] = ("httpx",)
    bytes_both_ways: int = 0


ROWS: tuple[Row, ...] = (
    Row("j64", "1 KiB of JSON there and back, 64 in flight", "note", 64, ("httpx", "httpx-8")),
    Row("j1", "1 KiB of JSON there and back, 1 in flight", "note", 1),
    Row("a1", "4 MiB numpy array there and back, 1 in flight", "frame", 1, ("httpx", "httpx-raw"), 8 * MIB),
    Row("a4", "4 MiB numpy array there and back, 4 in flight", "frame", 4, ("httpx", "httpx-raw"), 8 * MIB),
)

BARS: tuple[Bar, ...] = (
    Bar("calls/s, 1 KiB of JSON, 64 in flight", "j64", lambda s: s.per_s, 2.0, 4.0, True, "httpx"),
    Bar("the same against 8 connections", "j64", lambda s: s.per_s, 2.0, 4.0, True, "httpx-8"),
    Bar("MB/s, 4 MiB numpy arrays, 1 in flight", "a1", lambda s: s.per_s, 3.0, 6.0, True, "httpx"),
    Bar("MB/s, 4 MiB numpy arrays, 4 in flight", "a4", lambda s: s.per_s, 3.0, 6.0, True, "httpx"),
)
