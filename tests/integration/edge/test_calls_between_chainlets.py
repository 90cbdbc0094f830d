"""Two edge processes, and calls between chainlets through them: one is killed, the other one drains."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from starlette.types import Receive, Scope, Send

from penstock.chains.remote.caller import ChainCaller
from penstock.chains.remote.transport import Call
from penstock.close_codes import EndCode
from penstock.errors import UpstreamError
from penstock.process_env import child_environment
from penstock.truss.settings import PenstockSettings
from penstock_runner.model.loaded import LoadedModel
from penstock_runner.server import RunnerServer
from penstock_testing.chain_calls_kit import CALLEE, answer, no_websocket, peers_of, until
from penstock_testing.static_platform import wait_until

LIMIT_S = 30.0


class Edge:
    """One edge process with one replica of CALLEE."""

    def __init__(self, folder: Path, runner: str) -> None:
        folder.mkdir()
        self.ready = folder / "edge.json"
        self.log = folder / "edge.log"
        options = ["--listen", "127.0.0.1:0", "--static", f"{CALLEE}={runner}", "--ready-file", str(self.ready)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "penstock_edge", *options],
                env=child_environment(os.environ),
                stdin=subprocess.DEVNULL,
                stderr=log,
            )

    def inner(self) -> str:
        """Where it serves runners."""
        wait_until(lambda: self.ready.exists() or self.process.poll() is not None, LIMIT_S, "the edge serves")
        assert self.process.poll() is None, self.log.read_text()
        return str(json.loads(self.ready.read_text())["inner"])


class Model:
    """Answers when the test says so."""

    def __init__(self) -> None:
        self.entered = 0
        self.go = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.entered += 1
        await self.go.wait()
        await answer(send, b"done")


def has_slot(caller: ChainCaller) -> bool:
    """Whether the edge has told the caller so: only then is the call open for the edge."""
    trunk = caller._link.ready()
    endpoint = None if trunk is None else trunk._endpoint
    return endpoint is not None and any(stream.is_accepted for stream in endpoint.streams.values())


async def play(folder: Path) -> None:
    model = Model()
    runner = RunnerServer(replica_id="r", deployment_id=CALLEE, settings=PenstockSettings(), on_change=lambda: None)
    address = await runner.start("127.0.0.1:0")
    runner.set_model(LoadedModel(object(), no_websocket, Path(__file__)), model)
    edges = [Edge(folder / name, address) for name in ("a", "b")]
    lost: list[str] = []
    caller = ChainCaller("caller", on_lost=lambda edge, _detail, _streams: lost.append(edge))
    try:
        inner = [await asyncio.to_thread(edge.inner) for edge in edges]
        caller.set_peers(peers_of(inner))
        transport = caller.transport(CALLEE)
        calling = asyncio.create_task(transport.call(Call([b"a"])))
        await until(lambda: model.entered == 1, "the callee works")
        link_trunk = caller._link.ready()
        assert link_trunk is not None
        killed = inner.index(link_trunk.address)

        edges[killed].process.kill()

        with pytest.raises(UpstreamError) as caught:
            await calling
        assert (caught.value.code, lost) == (EndCode.REPLICA_LOST, [inner[killed]])
        calling = asyncio.create_task(transport.call(Call([b"b"])))
        await until(lambda: model.entered == 2 and has_slot(caller), "the call goes through the other edge")

        other = edges[1 - killed].process
        other.terminate()

        await until(lambda: bool(caller._link._leaving), "the caller is asked to leave")
        assert other.poll() is None
        model.go.set()
        assert (await calling).body == b"done"
        assert await asyncio.to_thread(other.wait, LIMIT_S) == 0
        assert lost == [inner[killed]], "an edge that drained was not lost"
    finally:
        await caller.stop()
        for edge in edges:
            edge.process.kill()
            edge.process.wait()
        await runner.stop(0)


def test_a_killed_edge_is_replaced_and_a_draining_one_carries_its_calls_to_their_end(tmp_path: Path) -> None:
    asyncio.run(play(tmp_path))
