"""What is measured of `predict` over HTTP, and what it has to come to. Pure data."""

from __future__ import annotations

from dataclasses import dataclass

from penstock_bench.bars import Bar

KIB = 1024


@dataclass(frozen=True, slots=True)
class Row:
    """Equal clients, each with one connection and one request at a time.

    Attributes:
        model: folder in bench/models.
        size: bytes of a request's body.
        answer_bytes: of an answer's body; an answer of another length is an error.
        rate: requests per second that are due on each connection; 0 means the next one follows the answer.
        is_streamed: answers come in several parts, and what counts is when the first one comes.
    """

    key: str
    title: str
    model: str
    size: int
    answer_bytes: int
    conns: int = 64
    rate: float = 0.0
    is_streamed: bool = False


def _echo(key: str, title: str, model: str, size: int, conns: int = 64) -> Row:
    # Both servers write JSON as json.dumps does, with a blank behind the colon.
    return Row(key, title, model, size, size + 1, conns)


def _stream(key: str, rate: float) -> Row:
    parts = 5
    title = f"{parts} parts, 10 ms apart, from an async generator; 64 clients, {rate:g} requests/s each"
    title += f" ({64 * rate * parts:,g} parts/s)"
    return Row(key, title, "predict_stream", 100, parts * len("a part of the answer"), rate=rate, is_streamed=True)


ROWS: tuple[Row, ...] = (
    _echo("p64", "100 B of JSON, async predict, 64 clients", "predict_async", 100),
    _echo("p1", "100 B of JSON, async predict, 1 client", "predict_async", 100, conns=1),
    _echo("b64", "16 KiB of JSON, async predict, 64 clients", "predict_async", 16 * KIB),
    _echo("t64", "100 B of JSON, sync predict (in a thread), 64 clients", "predict_sync", 100),
    _stream("f64", 4),
    _stream("f64x10", 10),
)
"""Rows of one model stand together: its servers are started once."""

BARS: tuple[Bar, ...] = (
    Bar("requests/s, 100 B, async predict, 64 clients", "p64", lambda s: s.per_s, 0.5, 0.7, True, "direct"),
    Bar("requests/s, 100 B, sync predict, 64 clients", "t64", lambda s: s.per_s, 0.5, 0.7, True, "direct"),
    Bar(
        "p50 added to the first part of a stream, 64 × 4 requests/s",
        "f64",
        lambda s: s.first_p50_ms,
        1.0,
        0.5,
        False,
        "direct",
        "difference",
        "ms",
    ),
)
