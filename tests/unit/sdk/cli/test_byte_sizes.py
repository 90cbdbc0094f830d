from __future__ import annotations

import pytest

from penstock.cli.byte_sizes import size_text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (1023, "1023 bytes"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (12 << 20, "12 MiB"),
        (3 << 30, "3.0 GiB"),
        (5000 << 40, "5000 TiB"),
    ],
)
def test_sizes_have_the_unit_that_suits(count: int, text: str) -> None:
    assert size_text(count) == text
