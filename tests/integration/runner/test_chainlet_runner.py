"""Generated Truss directories of chainlets in real runner processes: requests, items, errors, WebSockets, cancellation.

The directories are written by hand, so that nothing but the runner and what it serves stands in between.
"""

from __future__ import annotations

import asyncio
import functools
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from penstock.api.common.v1.common_pb2 import Header
from penstock.api.trunk.v1 import trunk_pb2
from penstock.close_codes import EndCode
from penstock.trunk.batch import Kind
from penstock.trunk.served import TRUNK_SERVICE
from penstock_testing.fake_controller import FakeController
from penstock_testing.runner_process import Runner, StartRunner, WriteTruss
from penstock_testing.runner_server import Edge, Stream

CONFIG = """\
model_name: greeting
secrets: {key: value}
runtime: {predict_concurrency: 4}
penstock: {cancel_on_disconnect: true, limits: {disconnect_grace: 0.02}}
"""
MODEL = """\
from penstock.chains.serving.model import make_model

Model = make_model("greeting_chain", "%s")
"""
CHAIN = """\
import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import truss_chains as chains


def note(path: str) -> None:
    Path(path).write_text("cancelled")


class Greeter(chains.ChainletBase):
    def __init__(self, context: chains.DeploymentContext = chains.depends_context()) -> None:
        self.greeting = context.secrets["key"]

    async def run_remote(self, name: str, note_at: str = "") -> str:
        if name == "nobody":
            raise LookupError("nobody is here")
        if note_at:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                note(note_at)
                raise
        return f"{self.greeting} {name}"


class Speller(chains.ChainletBase):
    async def run_remote(self, name: str) -> AsyncIterator[str]:
        for letter in name:
            yield letter


class Echo(chains.ChainletBase):
    async def run_remote(self, websocket: chains.WebSocketProtocol) -> None:
        async for text in websocket.iter_text():
            if text.startswith("/"):
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    note(text)
                    raise
            await websocket.send_text(text)


class Alone(chains.ChainletBase):
    def __init__(self, greeter: Greeter = chains.depends(Greeter)) -> None: ...

    async def run_remote(self) -> None: ...
"""
NOTICE_S = 0.2
"""Time within which a chainlet hears that its client has left (issue 5)."""


def on_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Lets pytest run an async test."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


class Bench:
    """A runner process that is ready, and a trunk to it."""

    def __init__(self, runner: Runner, edge: Edge) -> None:
        self.runner = runner
        self.edge = edge
        self._count = 0

    async def open(self, **request: Any) -> Stream:
        await self.edge.until(lambda: self.edge.endpoint.peer_name is not None)
        self._count += 1
        base = {"stream_id": f"s{self._count}", "deployment_id": "m-1", "message_bytes_max": 1000, **request}
        stream = Stream(self.edge.endpoint.open(trunk_pb2.OpenStream(**base)))
        stream.stream.sink = stream
        await self.edge.until(lambda: stream.is_accepted or stream.rejected is not None)
        return stream

    async def post(self, **arguments: Any) -> Stream:
        return await self.open(
            transport=trunk_pb2.TRANSPORT_HTTP,
            method="POST",
            model_path=b"/v1/models/model:predict",
            headers=[Header(name="content-type", value=b"application/json")],
            body=json.dumps(arguments).encode(),
        )

    async def ask(self, **arguments: Any) -> tuple[int, list[bytes]]:
        """Returns status and body of the answer, the latter in the parts that were sent."""
        stream = await self.post(**arguments)
        await self.edge.until(lambda: stream.closing is not None)
        head = trunk_pb2.ResponseHead.FromString(stream.messages[0])
        return head.status, [head.body, *stream.messages[1:]]

    async def heard_of_the_end(self, note: Path, stream: Stream) -> float:
        """Returns how long it took until the chainlet was cancelled, after its client left."""
        started = time.monotonic()
        stream.stream.close(EndCode.CLIENT_GONE, 1006)
        await self.edge.until(note.exists)
        return time.monotonic() - started


Start = Callable[[str], Any]


@pytest.fixture
def serving(write_truss: WriteTruss, start_runner: StartRunner, controller: FakeController) -> Start:
    """Starts a runner with a chainlet, and connects to it."""

    @asynccontextmanager
    async def start(name: str) -> AsyncIterator[Bench]:
        folder = write_truss(MODEL % name, config=CONFIG, files={"packages/greeting_chain.py": CHAIN})
        runner = start_runner(folder, controller=controller)
        ready = functools.partial(controller.wait_for, lambda: controller.state() in ("READY", "FAILED"))
        await asyncio.to_thread(ready)
        assert controller.state() == "READY", runner.output()
        async with grpc.aio.insecure_channel(controller.requests()[0].register.address) as channel:
            connect: Any = channel.stream_stream(f"/{TRUNK_SERVICE}/Connect", None, None)
            edge = Edge(connect())
            try:
                yield Bench(runner, edge)
            finally:
                await edge.end()

    return start


@on_a_loop
async def test_requests_errors_and_clients_that_leave(serving: Start, tmp_path: Path) -> None:
    async with serving("Greeter") as bench:
        assert await bench.ask(name="you") == (200, [b'"value you"'])

        status, (body, *_) = await bench.ask(name="nobody")
        error = json.loads(body)["error"]
        assert (status, error["exception_cls_name"], error["exception_message"]) == (
            500,
            "LookupError",
            "nobody is here",
        )
        assert [frame["name"] for frame in error["user_stack_trace"]] == ["run_remote"]
        assert "LookupError: nobody is here" in bench.runner.event("Chainlet raised Exception:")["exception"]

        status, (body, *_) = await bench.ask()
        assert (status, json.loads(body)["error"]) == (400, "Input Parsing Error:\n  `name`: Field required.")

        note = tmp_path / "note"
        waiting = await bench.post(name="you", note_at=str(note))
        assert await bench.ask(name="two") == (200, [b'"value two"'])
        assert await bench.heard_of_the_end(note, waiting) < NOTICE_S


@on_a_loop
async def test_each_item_is_a_part_of_the_answer(serving: Start) -> None:
    async with serving("Speller") as bench:
        assert await bench.ask(name="abc") == (200, [b"a", b"b", b"c"])


@on_a_loop
async def test_a_websocket_of_a_client(serving: Start, tmp_path: Path) -> None:
    async with serving("Echo") as bench:
        stream = await bench.open()
        stream.stream.send(Kind.TEXT, b"hello")
        await bench.edge.until(lambda: stream.messages == [b"hello"])

        note = tmp_path / "note"
        stream.stream.send(Kind.TEXT, str(note).encode())
        stream.stream.send(Kind.TEXT, b"never taken")
        other = await bench.open()
        other.stream.send(Kind.TEXT, b"behind it")
        await bench.edge.until(lambda: other.messages == [b"behind it"])
        assert await bench.heard_of_the_end(note, stream) < NOTICE_S


def test_a_chainlet_with_dependencies_needs_a_controller(write_truss: WriteTruss, start_runner: StartRunner) -> None:
    folder = write_truss(MODEL % "Alone", config=CONFIG, files={"packages/greeting_chain.py": CHAIN})

    runner = start_runner(folder, "--listen", "127.0.0.1:0", env={"NUM_LOAD_RETRIES_TRUSS": "0"})

    assert runner.wait_exit() != 0
    assert "`Alone` depends on `Greeter`, and so needs a controller" in runner.output()
