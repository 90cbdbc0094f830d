"""Chainlets that a test writes as text, served by the models that runners of chains have."""

from __future__ import annotations

import asyncio
import itertools
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from penstock.chains.registry import ChainletRegistry
from penstock.chains.remote import runtime
from penstock.chains.remote.runtime import ChainRuntime, Peer, Peers
from penstock.chains.remote.transport import Call, Reply
from penstock.chains.serving.model import make_model

HEAD = """
import asyncio
from collections.abc import AsyncIterator

import fastapi
import pydantic
import penstock.chains as chains
"""

_numbers = itertools.count()

Serve = Callable[..., Any]
Install = Callable[[ChainRuntime | None], None]


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_registry: ChainletRegistry) -> Iterator[Serve]:
    """Returns the loaded model of a chainlet: `serve(source, "Greeter")`.

    Its module is imported anew each time, under a name of its own; `model.user` is that module.
    """
    names: list[str] = []
    monkeypatch.syspath_prepend(str(tmp_path))

    def start(
        source: str,
        class_name: str,
        *,
        secrets: Mapping[str, str] | None = None,
        environment: Mapping[str, Any] | None = None,
        load: bool = True,
    ) -> Any:
        name = f"chain_of_a_test_{next(_numbers)}"
        names.append(name)
        (tmp_path / f"{name}.py").write_text(HEAD + dedent(source))
        with warnings.catch_warnings():
            # A synchronous `run_remote` is deprecated; the tests have some all the same.
            warnings.simplefilter("ignore", DeprecationWarning)
            kind = make_model(name, class_name)
        model: Any = kind(config={}, data_dir=tmp_path / "data", secrets=secrets or {}, environment=environment)
        if load:
            model.load()
        model.user = sys.modules[name]
        return model

    yield start
    for name in names:
        sys.modules.pop(name, None)


class Answering:
    """A transport whose callee always says the same."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.calls: list[Call] = []

    async def call(self, call: Call) -> Reply:
        self.calls.append(call)
        return Reply(200, {"content-type": "application/json"}, self.body)


class FakeRuntime:
    """What the controller has told of a chain, without one.

    Args:
        transports: by display name.
    """

    def __init__(self, transports: Mapping[str, Any], loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.http_address = "127.0.0.1:2"
        self.asked = 0
        self._transports = transports

    def peers(self, timeout_s: float) -> Peers:
        self.asked += 1
        peers = {name: Peer(name, f"hello.{name}-1", f"hello.{name}") for name in self._transports}
        return Peers("hello", "hello-1", peers, ("127.0.0.1:1",), self.http_address)

    def transport(self, deployment_id: str) -> Any:
        return self._transports[deployment_id.removeprefix("hello.").removesuffix("-1")]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs a runtime for the time of the test; None takes it away."""

    def installed(found: ChainRuntime | None) -> None:
        monkeypatch.setattr(runtime, "_installed", found)

    return installed
