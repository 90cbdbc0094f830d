from __future__ import annotations

from collections.abc import Iterator

import pytest

from penstock_testing.faulty_web_server import FaultyWebServer, faulty_web_server


@pytest.fixture
def web() -> Iterator[FaultyWebServer]:
    with faulty_web_server() as server:
        yield server
