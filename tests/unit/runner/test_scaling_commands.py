"""What scaling asks of a replica, over real trunks and a real control line: drain if idle, spread ends, limits."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import WebSocket
from google.protobuf.duration_pb2 import Duration

from penstock.api.control.v1 import control_pb2
from penstock.close_codes import EndCode
from penstock.trunk.batch import Kind
from penstock_runner.attach_state import State
from penstock_runner.control import ControlLine
from penstock_runner.control_messages import Identity
from penstock_runner.model.loaded import LoadedModel
from penstock_runner.replica import Replica
from penstock_testing.fake_controller import FakeController
from penstock_testing.runner_server import Bench, Edge, Stream, serving

ROUNDS = 150
EDGES = 3
AFTER_EACH = 5
"""Streams that are tried by every edge after a drain was accepted."""


async def echo(websocket: WebSocket) -> None:
    async for text in websocket.iter_text():
        await websocket.send_text(text)


async def deaf(websocket: WebSocket) -> None:
    await asyncio.Event().wait()


class Scene:
    """One replica with its control line; its controller is the test."""

    def __init__(self, bench: Bench, replica: Replica, controller: FakeController) -> None:
        self.bench = bench
        self.server = bench.server
        self.replica = replica
        self.controller = controller
        self.grace_over = asyncio.Event()

    async def heard(self, condition: Callable[[], bool]) -> None:
        await asyncio.to_thread(self.controller.wait_for, condition)

    def status(self) -> control_pb2.ReplicaStatus:
        return self.controller.statuses()[-1]

    def planned(self) -> int:
        """How many streams have an end that lies ahead."""
        return len(self.server._sessions._planned_ends)

    def limit(self, slots: int) -> None:
        limits = control_pb2.SetLimits(stream_capacity=slots)
        self.controller.say(control_pb2.AttachResponse(set_limits=limits))

    def results(self) -> dict[str, control_pb2.DrainResult]:
        found = [request.drain_result for request in self.controller.requests() if request.HasField("drain_result")]
        return {result.drain_id: result for result in found}

    async def drain(self, drain_id: str, **fields: object) -> control_pb2.DrainResult:
        drain = control_pb2.Drain(drain_id=drain_id, **fields)  # type: ignore[arg-type]  # names are checked at run time
        self.controller.say(control_pb2.AttachResponse(drain=drain))
        await self.heard(lambda: drain_id in self.results())
        return self.results()[drain_id]


@asynccontextmanager
async def attached(
    handler: Callable[[WebSocket], Awaitable[None]], slots: int = 10, heartbeat_s: float = 60.0
) -> AsyncIterator[Scene]:
    async with serving(None, slots) as (bench, changes):
        scene: Scene
        replica = Replica(bench.server, asyncio.get_running_loop(), lambda: scene.grace_over.set())
        with FakeController(heartbeat_s=heartbeat_s) as controller:
            identity = Identity(
                replica_id="r1",
                deployment_id="d1",
                boot_id="b1",
                address=bench.address,
                pid=1,
                pid_start_ticks=1,
                version="0",
                started_at_s=0.0,
            )
            line = ControlLine(controller.address, identity, replica, replica)
            scene = Scene(bench, replica, controller)
            changes.listener = line.changed
            replica.on_change = line.changed
            replica.answer_drain = lambda drain_id, accepted, active: line.answer_drain(
                drain_id, accepted=accepted, active_streams=active
            )
            replica.set_model(LoadedModel(object(), handler, Path(__file__)))
            line.start()
            try:
                await scene.heard(lambda: controller.statuses() != [])
                yield scene
            finally:
                replica.stop()
                await asyncio.to_thread(line.close, 0.0)


class Churn:
    """Clients that open streams as fast as they can."""

    def __init__(self) -> None:
        self.refused: dict[str, int] = {}
        self.to_come: int | None = None
        """Streams that each edge may still open; None for as many as it likes."""

    async def run(self, edge: Edge) -> None:
        tried = 0
        while self.to_come is None or tried < self.to_come:
            tried += self.to_come is not None
            stream = await edge.open()
            if stream.rejected is not None:
                self.refused[stream.rejected] = self.refused.get(stream.rejected, 0) + 1
                continue
            # Held for a round trip, so that the replica is now idle and now not.
            stream.stream.close(EndCode.CLIENT_CLOSED, 1000)
            await closed(edge, stream)


async def closed(edge: Edge, stream: Stream) -> None:
    await edge.until(lambda: stream.closing is not None)


def test_drain_if_idle_is_exact_while_streams_are_opened_from_all_sides() -> None:
    """Accepted means that no slot is held, and that none is given afterwards; refused means that one was held."""
    outcomes: list[bool] = []

    async def main() -> None:
        async with serving(echo) as (bench, changes):
            replica = Replica(bench.server, asyncio.get_running_loop(), lambda: None)
            answers: asyncio.Queue[tuple[bool, int, int, int]] = asyncio.Queue()
            replica.answer_drain = lambda _, accepted, active: answers.put_nowait(
                (accepted, active, bench.server.active_streams, bench.server.streams_total)
            )
            edges = [bench.edge() for _ in range(EDGES)]
            for _ in range(ROUNDS):
                churn = Churn()
                async with asyncio.TaskGroup() as group:
                    for edge in edges:
                        group.create_task(churn.run(edge))
                    before = bench.server.streams_total
                    await changes.until(lambda before=before: bench.server.streams_total > before)  # type: ignore[misc]  # bound default
                    accepted, total = False, 0
                    while not accepted:
                        # From another thread, as the control line does it.
                        await asyncio.to_thread(replica.drain, "d", if_idle=True, grace_s=None)
                        accepted, told, held, total = await answers.get()
                        assert told == held
                        assert accepted == (held == 0)
                        outcomes.append(accepted)
                    churn.to_come = AFTER_EACH
                assert bench.server.streams_total == total, "a stream was admitted after the drain was accepted"
                assert bench.server.active_streams == 0
                assert churn.refused.get(EndCode.REPLICA_DRAINING, 0) >= EDGES * AFTER_EACH
                replica.undrain()
                replica.stop()

    asyncio.run(main())
    assert outcomes.count(True) == ROUNDS
    assert outcomes.count(False) > 0, "no drain met an open stream: the test has not raced"


def test_drain_if_idle_over_the_control_line() -> None:
    async def main() -> None:
        async with attached(echo) as scene:
            edge = scene.bench.edge()
            stream = await edge.open()

            refused = await scene.drain("a", if_idle=True)

            assert (refused.accepted, refused.active_streams) == (False, 1)
            other = await edge.open()
            assert other.is_accepted
            for each in (stream, other):
                each.stream.close(EndCode.CLIENT_CLOSED, 1000)
            await scene.heard(lambda: (scene.status().streams_total, scene.status().active_streams) == (2, 0))
            accepted = await scene.drain("b", if_idle=True)
            assert (accepted.accepted, accepted.active_streams) == (True, 0)
            assert (await edge.open()).rejected == EndCode.REPLICA_DRAINING

    asyncio.run(main())


def test_a_blocked_loop_answers_a_drain_afterwards_with_what_is_true_then() -> None:
    entered, release = threading.Event(), threading.Event()

    async def blocking(websocket: WebSocket) -> None:
        entered.set()
        release.wait(20)

    async def main() -> None:
        async with attached(blocking, heartbeat_s=0.1) as scene:
            edge = scene.bench.edge()
            await edge.until(lambda: edge.endpoint.peer_name is not None)
            before = time.time()

            def ask_while_it_is_blocked() -> None:
                assert entered.wait(20)
                drain = control_pb2.Drain(drain_id="a", if_idle=True)
                scene.controller.say(control_pb2.AttachResponse(drain=drain))
                scene.controller.wait_for(lambda: scene.status().event_loop_lag.ToMilliseconds() >= 500)
                blocked = scene.status()
                assert scene.results() == {}
                assert blocked.active_streams == 1
                assert before <= blocked.oldest_stream_at.ToMilliseconds() / 1000 + 0.001 <= time.time() + 0.002
                release.set()

            asking = asyncio.create_task(asyncio.to_thread(ask_while_it_is_blocked))
            opening = asyncio.create_task(edge.open())
            await asking
            await scene.heard(lambda: "a" in scene.results())
            await opening

            # The handler ended with the blockade, before the replica came to look.
            assert (scene.results()["a"].accepted, scene.results()["a"].active_streams) == (True, 0)
            assert scene.bench.server.draining

    asyncio.run(main())


def test_streams_end_one_by_one_before_the_grace_is_over() -> None:
    async def main() -> None:
        async with attached(deaf, slots=40) as scene:
            edge = scene.bench.edge()
            streams = [await edge.open() for _ in range(40)]

            await scene.drain("a", grace=duration(0.8), spread=duration(0.6))
            assert (await edge.open()).rejected == EndCode.REPLICA_DRAINING
            await edge.until(lambda: all(stream.closing is not None for stream in streams))

            assert {stream.closing for stream in streams} == {
                (EndCode.REPLICA_DRAINING, 1012, "Replica is stopping; connect again.")
            }
            await scene.heard(lambda: (scene.status().streams_total, scene.status().active_streams) == (40, 0))
            assert not scene.status().HasField("oldest_stream_at")
            async with asyncio.timeout(20):
                await scene.grace_over.wait()
            assert await scene.server.stop(0.0) == 40, "all of them were cut"

    asyncio.run(main())


def test_undrain_and_a_drain_without_a_limit_take_the_ends_back() -> None:
    async def main() -> None:
        async with attached(echo, slots=40) as scene:
            edge = scene.bench.edge()
            streams = [await edge.open() for _ in range(30)]

            await scene.drain("a", grace=duration(1000.0), spread=duration(1000.0))
            assert scene.planned() == 30
            await scene.drain("b")
            assert scene.planned() == 0
            await scene.drain("c", grace=duration(1000.0), spread=duration(500.0))
            assert scene.planned() == 30
            scene.controller.say(control_pb2.AttachResponse(undrain=control_pb2.Undrain()))
            # Commands are carried out in their order: the answer to a later one tells that the undrain is done.
            assert not (await scene.drain("d", if_idle=True)).accepted

            assert scene.planned() == 0
            assert (await edge.open()).is_accepted
            for stream in streams:
                stream.stream.send(Kind.TEXT, b"still served")
            await edge.until(lambda: all(stream.messages for stream in streams))

    asyncio.run(main())


def test_a_refused_drain_leaves_the_plan_of_the_one_before() -> None:
    async def main() -> None:
        async with attached(echo) as scene:
            edge = scene.bench.edge()
            await edge.open()
            await scene.drain("a", grace=duration(1000.0), spread=duration(1000.0))

            refused = await scene.drain("b", if_idle=True)

            assert not refused.accepted
            assert scene.planned() == 1
            assert scene.replica.read().state is State.DRAINING

    asyncio.run(main())


def test_lower_limit_closes_no_stream_and_a_higher_one_is_told_at_once() -> None:
    async def main() -> None:
        async with attached(echo, slots=3) as scene:
            edge = scene.bench.edge()
            streams = [await edge.open() for _ in range(3)]

            scene.limit(1)
            await scene.heard(lambda: scene.status().stream_capacity == 1)

            assert scene.status().active_streams == 3
            assert (await edge.open()).rejected == EndCode.REPLICA_FULL
            for stream in streams:
                stream.stream.send(Kind.TEXT, b"still served")
            await edge.until(lambda: all(stream.messages for stream in streams))
            streams.pop().stream.close(EndCode.CLIENT_CLOSED, 1000)
            await scene.heard(lambda: scene.status().active_streams == 2)
            assert (await edge.open()).rejected == EndCode.REPLICA_FULL, "two hold a slot, one is allowed"

            # The next heartbeat is a minute away: what wakes those who wait is the status of the change itself.
            scene.limit(3)
            await scene.heard(lambda: scene.status().stream_capacity == 3)
            assert (await edge.open()).is_accepted
            assert (await edge.open()).rejected == EndCode.REPLICA_FULL

    asyncio.run(main())


def duration(seconds: float) -> Duration:
    value = Duration()
    value.FromMilliseconds(round(seconds * 1000))
    return value
