"""Times and sizes as text. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB")


def age(seconds: float) -> str:
    """Returns "0.4s", "14s", "3m", "5h12m", "2d4h"."""
    seconds = max(0.0, seconds)
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if hours == 0:
        return f"{minutes}m"
    if days == 0:
        return f"{hours}h{minutes % 60}m"
    return f"{days}d{hours % 24}h"


def span(seconds: float) -> str:
    """Returns a time that was asked for: "5 s", "90 s", "10m", "1h0m"."""
    return f"{seconds:g} s" if seconds < 120 else age(seconds)


def byte_size(count: int) -> str:
    """Returns "17 B", "1.5 KiB", "240 MiB"."""
    if count < 1000:
        return f"{count} B"
    power = next((p for p in range(1, len(_UNITS)) if count / 1024**p < 999.5), len(_UNITS))
    value = count / 1024**power
    unit = _UNITS[power - 1]
    return f"{value:.1f} {unit}" if value < 9.95 else f"{value:.0f} {unit}"


def counted(number: int, noun: str, plural: str = "") -> str:
    """Returns "1 stream", "2 streams"; `plural` is for nouns that do not take an s."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def to_seconds(value: Duration) -> float:
    """Returns a duration in seconds."""
    return value.seconds + value.nanos / 1e9


def to_duration(seconds: float) -> Duration:
    """Returns a duration, to the microsecond."""
    value = Duration()
    value.FromMicroseconds(round(seconds * 1e6))
    return value


def wall_seconds(moment: Timestamp) -> float:
    """Returns seconds since the epoch."""
    return moment.seconds + moment.nanos / 1e9


def rfc3339(moment: Timestamp) -> str:
    """Returns "2026-01-31T12:00:00.064Z"."""
    at = datetime.fromtimestamp(wall_seconds(moment), UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
