"""Models that exit, crash or raise while they serve: what the caller gets, what the log says, and who else notices."""

from __future__ import annotations

import asyncio
import functools
import json
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio
import pytest

from penstock.api.common.v1.common_pb2 import Header
from penstock.api.trunk.v1 import trunk_pb2
from penstock.trunk.batch import Kind
from penstock.trunk.served import TRUNK_SERVICE
from penstock_testing.fake_controller import FakeController
from penstock_testing.runner_process import Runner, StartRunner, WriteTruss
from penstock_testing.runner_server import Edge, Stream

GENERIC = {"error": "Internal Server Error (in model/chainlet)."}


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
        assert stream.rejected is None
        return stream

    async def predict(self, inputs: object) -> tuple[int, Any]:
        """Returns status and body."""
        stream = await self.request(inputs)
        await self.edge.until(lambda: stream.closing is not None)
        head = trunk_pb2.ResponseHead.FromString(stream.messages[0])
        return head.status, json.loads(head.body + b"".join(stream.messages[1:]))

    async def request(self, inputs: object) -> Stream:
        return await self.open(
            transport=trunk_pb2.TRANSPORT_HTTP,
            method="POST",
            model_path=b"/v1/models/model:predict",
            headers=[Header(name="content-type", value=b"application/json")],
            body=json.dumps(inputs).encode(),
        )

    async def lost(self) -> int:
        """Returns the exit status of the runner."""
        return await asyncio.to_thread(self.runner.wait_exit)


Start = Callable[[str], Any]


@pytest.fixture
def serving(write_truss: WriteTruss, start_runner: StartRunner, controller: FakeController) -> Start:
    """Starts a runner with a model, and connects to it."""

    @asynccontextmanager
    async def start(model: str) -> AsyncIterator[Bench]:
        runner = start_runner(write_truss(model), controller=controller)
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


def websocket_that(statement: str) -> str:
    """A handler that does `statement` after the text "do it", and echoes everything else."""
    return f"""\
class Model:
    async def websocket(self, websocket):
        while True:
            text = await websocket.receive_text()
            if text == "do it":
                {statement}
            await websocket.send_text(text)
"""


def predict_that(statement: str, *, define: str = "def") -> str:
    return f"""\
class Model:
    {define} predict(self, inputs):
        if inputs == "do it":
            {statement}
        return inputs
"""


@pytest.mark.parametrize(
    "statement", ["import sys; sys.exit(3)", "raise KeyboardInterrupt", "raise ValueError('hush')"]
)
@on_a_loop
async def test_handler_that_raises_ends_its_own_stream_only(statement: str, serving: Start) -> None:
    async with serving(websocket_that(statement)) as bench:
        first, second = await bench.open(), await bench.open()
        first.stream.send(Kind.TEXT, b"do it")
        await bench.edge.until(lambda: first.closing is not None)

        assert first.closing is not None
        assert (first.closing.close_code, first.closing.reason) == (1011, "Internal Server Error (in model/chainlet).")
        second.stream.send(Kind.TEXT, b"still there?")
        await bench.edge.until(lambda: second.messages == [b"still there?"])
        assert "line 6, in websocket" in bench.runner.event("handler_failed")["traceback"]


@on_a_loop
async def test_handler_that_ends_the_process_takes_the_runner_with_it(serving: Start) -> None:
    async with serving(websocket_that("import os; os._exit(5)")) as bench:
        stream = await bench.open()
        stream.stream.send(Kind.TEXT, b"do it")

        assert await bench.lost() == 5


@on_a_loop
async def test_handler_that_crashes_leaves_its_line_in_the_log(serving: Start) -> None:
    async with serving(websocket_that("import ctypes; ctypes.string_at(0)")) as bench:
        stream = await bench.open()
        stream.stream.send(Kind.TEXT, b"do it")

        assert await bench.lost() == -signal.SIGSEGV
        assert 'model/model.py", line 6 in websocket' in bench.runner.output()


@pytest.mark.parametrize("define", ["def", "async def"])
@pytest.mark.parametrize(
    "statement",
    [
        "import sys; sys.exit(3)",
        "raise KeyboardInterrupt",
        "raise ValueError('hush')",
        "raise RecursionError",
        "import asyncio; raise asyncio.CancelledError",
        "raise StopIteration",
    ],
)
@on_a_loop
async def test_predict_that_raises_is_a_500_without_details(statement: str, define: str, serving: Start) -> None:
    async with serving(predict_that(statement, define=define)) as bench:
        assert await bench.predict("do it") == (500, GENERIC)
        assert await bench.predict("fine") == (200, "fine")
        assert "line 4, in predict" in bench.runner.output()


@on_a_loop
async def test_predict_that_ends_the_process_takes_the_runner_with_it(serving: Start) -> None:
    async with serving(predict_that("import os; os._exit(5)")) as bench:
        await bench.request("do it")

        assert await bench.lost() == 5


@on_a_loop
async def test_predict_that_crashes_leaves_its_line_in_the_log(serving: Start) -> None:
    async with serving(predict_that("import os; os.abort()")) as bench:
        await bench.request("do it")

        assert await bench.lost() == -signal.SIGABRT
        assert 'model/model.py", line 4 in predict' in bench.runner.output()
