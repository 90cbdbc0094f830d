"""Numbers of bytes for people. Pure."""

from __future__ import annotations


def size_text(count: int) -> str:
    """Writes a number of bytes: "900 bytes", "1.5 KiB", "12 MiB"."""
    if count < 1024:
        return "1 byte" if count == 1 else f"{count} bytes"
    value = float(count)
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        value /= 1024
        if value < 1024 or unit == "TiB":
            break
    return f"{value:.0f} {unit}" if value >= 10 else f"{value:.1f} {unit}"
