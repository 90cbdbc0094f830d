from __future__ import annotations

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from penstock_controller.cli.quantities import (
    age,
    byte_size,
    counted,
    rfc3339,
    span,
    to_duration,
    to_seconds,
    wall_seconds,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((-1, "0.0s"), (0.4, "0.4s"), (9.94, "9.9s"), (9.96, "10s"), (59.4, "59s"), (59.6, "1m"), (200, "3m")),
        *((3600, "1h0m"), (18_721, "5h12m"), (187_200, "2d4h")),
    ],
)
def test_age_has_the_two_units_that_matter(seconds: float, text: str) -> None:
    assert age(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        *((0, "0 B"), (999, "999 B"), (1000, "1.0 KiB"), (1536, "1.5 KiB"), (10 * 1024, "10 KiB")),
        *((1_023_000, "999 KiB"), (1024 * 1024 - 1, "1.0 MiB"), (240 * 1024**2, "240 MiB")),
        *((3 * 1024**4, "3.0 TiB"), (2**64 - 1, "16384 PiB")),
    ],
)
def test_sizes_are_rounded_to_three_digits(count: int, text: str) -> None:
    assert byte_size(count) == text


def test_times_that_were_asked_for_are_exact_while_they_are_short() -> None:
    assert [span(s) for s in (0.5, 5, 60, 119, 120, 3600)] == ["0.5 s", "5 s", "60 s", "119 s", "2m", "1h0m"]


@given(st.integers(0, 2**60))
def test_a_size_is_never_longer_than_its_column(count: int) -> None:
    assert len(byte_size(count)) <= 8


def test_nouns_follow_their_number() -> None:
    assert [counted(n, "stream") for n in (0, 1, 2)] == ["0 streams", "1 stream", "2 streams"]
    assert counted(2, "entry", "entries") == "2 entries"


@given(st.floats(0, 10**7))
def test_durations_keep_microseconds(seconds: float) -> None:
    assert abs(to_seconds(to_duration(seconds)) - seconds) < 1e-6


def test_moments_are_rfc_3339_in_utc() -> None:
    moment = Timestamp(seconds=1_769_860_800, nanos=64_000_000)

    assert rfc3339(moment) == "2026-01-31T12:00:00.064Z"
    assert wall_seconds(moment) == 1_769_860_800.064
