"""What chains of Truss do: synchronous calls on the event loop, and plain Trusses among chainlets."""

from __future__ import annotations

import http.client
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from penstock_testing.up_session import UpSession

CHAIN = Path(__file__).resolve().parents[2] / "conformance" / "chains" / "mixed" / "mixed.py"


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the chain is served."""
    command = [sys.executable, "-m", "penstock.cli", "up"]
    up = UpSession(tmp_path_factory.mktemp("mixed"), command, str(CHAIN), "--grpc-listen=off", "--replicas=1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "TRUSS_SECRET_baseten_chain_api_key", "a-key")
        up.start()
    try:
        yield urlsplit(up.wait_ready()["chains"][0]["url"]).netloc
    finally:
        up.clean_up()


def ask(address: str, numbers: list[int]) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        body = json.dumps({"numbers": numbers})
        connection.request("POST", "/chain/mixed/run_remote", body, {"content-type": "application/json"})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def test_synchronous_calls_siblings_of_a_truss_and_the_chains_key(address: str) -> None:
    assert ask(address, [1, 2, 3]) == (200, [6, "the sum is 6", "a-key"])
    assert ask(address, [4]) == (200, [4, "the sum is 4", "a-key"])


def test_the_error_of_a_synchronous_call_on_the_loop_is_the_callees(address: str) -> None:
    status, body = ask(address, [])

    assert status == 500
    error = body["error"]
    assert error["exception_cls_name"] == "InjectedError"
    assert "├─ Error calling dependency Chainlet `Adder`, HTTP status=500" in error["exception_message"]
    assert error["user_stack_trace"][-1]["line"] == "total = self._adder.run_remote(numbers)"
