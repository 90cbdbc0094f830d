from __future__ import annotations

from collections.abc import Iterator

import pytest

from penstock_testing.faulty_web_server import FaultyWebServer, faulty_web_server


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyWebServer]:
    # A machine behind a proxy must not ask it for this server.
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with faulty_web_server() as server:
        yield server
