"""What the controller reads of a replica, and what it can have it do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.types import ASGIApp

from penstock_runner.attach_state import State
from penstock_runner.memory_watch import MemoryWatch
from penstock_runner.model.loaded import LoadedModel
from penstock_runner.model_life import Reloaded
from penstock_runner.replica import Replica


async def handler(_websocket: object) -> None: ...


MODEL = LoadedModel(instance=object(), websocket=handler, model_file=Path("model.py"))


class FakeServer:
    """Admission without streams."""

    def __init__(self, active_streams: int = 0) -> None:
        self.active_streams = active_streams
        self.capacity = 4
        self.streams_total = 9
        self.rejected_total = 1
        self.oldest_stream_at_s: float | None = 1_700_000_000.5
        self.plan: tuple[float, float] | None = None
        self.draining = False
        self.announced: list[bool] = []

    async def start(self, listen: str) -> str:
        return listen

    def set_model(self, model: LoadedModel, app: ASGIApp | None = None) -> None: ...

    def set_capacity(self, slots: int) -> None:
        self.capacity = slots

    def set_healthy(self, is_healthy: bool) -> None:
        self.is_healthy = is_healthy

    def begin_drain(self, *, if_idle: bool) -> bool:
        if if_idle and self.active_streams:
            return False
        self.draining = True
        return True

    def end_drain(self) -> None:
        self.draining = False

    def plan_ends(self, grace_s: float, spread_s: float) -> None:
        self.plan = (grace_s, spread_s)

    def drop_plan(self) -> None:
        self.plan = None

    async def announce_ready(self, is_ready: bool) -> None:
        self.announced.append(is_ready)

    async def stop(self, grace: float) -> int:
        return 0


class Scene:
    """A replica and what it did."""

    def __init__(self, server: FakeServer) -> None:
        self.server = server
        self.grace_over = asyncio.Event()
        self.replica = Replica(server, asyncio.get_running_loop(), self.grace_over.set)
        self.changes = 0
        self.answers: list[tuple[str, bool, int]] = []
        self.replica.on_change = self._changed
        self.replica.answer_drain = lambda *answer: self.answers.append(answer)

    def _changed(self) -> None:
        self.changes += 1


def play(act: Callable[[Scene], Awaitable[None]], active_streams: int = 0) -> Scene:
    async def run() -> Scene:
        scene = Scene(FakeServer(active_streams))
        await act(scene)
        # Commands and announcements go through the loop once or twice.
        for _ in range(5):
            await asyncio.sleep(0)
        scene.replica.stop()
        return scene

    return asyncio.run(run())


async def become_ready(scene: Scene) -> None:
    scene.replica.set_model(MODEL)


async def nothing(_scene: Scene) -> None: ...


def test_it_starts_then_is_ready() -> None:
    assert play(nothing).replica.read().state is State.STARTING

    scene = play(become_ready)

    assert scene.replica.read().state is State.READY
    assert scene.server.announced == [True]
    assert scene.changes == 1


def test_unhealthy_model_is_reported_and_admits_nothing() -> None:
    async def act(scene: Scene) -> None:
        await become_ready(scene)
        await asyncio.sleep(0)
        scene.replica.set_healthy(False)

    scene = play(act)

    status = scene.replica.read()
    assert (status.state, status.is_unhealthy) == (State.READY, True)
    assert scene.server.is_healthy is False
    assert scene.server.announced == [True, False]


def test_reload_of_a_model_that_is_not_loaded_yet_is_refused() -> None:
    answers: list[tuple[str, Reloaded]] = []

    async def act(scene: Scene) -> None:
        scene.replica.answer_reload = lambda reload_id, result: answers.append((reload_id, result))
        scene.replica.reload("n1")

    play(act)

    assert answers == [("n1", Reloaded(False, "The model is not loaded yet."))]


def test_a_model_is_watched_over_until_the_replica_stops() -> None:
    class Life:
        model, app, endpoints, note = MODEL, None, ("predict",), "ails"

        def __init__(self) -> None:
            self.said: list[str] = []

        def start(self) -> None:
            self.said.append("start")

        def stop(self) -> None:
            self.said.append("stop")

    life = Life()

    async def act(scene: Scene) -> None:
        scene.replica.serve(life, MemoryWatch(None))  # type: ignore[arg-type]  # what is asked of a ModelLife here
        assert life.said == ["start"]

    status = play(act).replica.read()

    assert life.said == ["start", "stop"]
    assert (status.state, status.message, status.endpoints) == (State.READY, "ails", ("predict",))


def test_counts_are_those_of_the_server() -> None:
    status = play(become_ready, active_streams=3).replica.read()

    assert (status.active_streams, status.stream_capacity) == (3, 4)
    assert (status.streams_total, status.rejected_total) == (9, 1)
    assert status.oldest_stream_at_s == 1_700_000_000.5


def test_lag_is_measured_only_once_the_model_serves() -> None:
    starting, ready = play(nothing).replica, play(become_ready).replica

    assert starting.measured(starting.read()).event_loop_lag_s is None
    assert ready.measured(ready.read()).event_loop_lag_s is not None
    assert ready.measured(ready.read()).resident_bytes > 0


def test_drain_is_accepted_and_answered() -> None:
    async def act(scene: Scene) -> None:
        scene.replica.set_model(MODEL)
        scene.replica.drain("d1", if_idle=False, grace_s=None)

    scene = play(act, active_streams=2)

    assert scene.answers == [("d1", True, 2)]
    assert scene.replica.read().state is State.DRAINING
    assert scene.server.announced[-1] is False


def test_drain_if_idle_is_refused_while_a_stream_is_open() -> None:
    async def act(scene: Scene) -> None:
        scene.replica.set_model(MODEL)
        scene.replica.drain("d1", if_idle=True, grace_s=None)

    scene = play(act, active_streams=2)

    assert scene.answers == [("d1", False, 2)]
    assert scene.replica.read().state is State.READY


def test_undrain_admits_again() -> None:
    async def act(scene: Scene) -> None:
        scene.replica.set_model(MODEL)
        scene.replica.drain("d1", if_idle=False, grace_s=1000.0)
        scene.replica.undrain()

    scene = play(act)

    assert scene.replica.read().state is State.READY
    assert not scene.grace_over.is_set()


def test_ends_are_planned_by_the_last_drain_that_was_accepted() -> None:
    async def act(scene: Scene) -> None:
        scene.replica.set_model(MODEL)
        for drain_id, if_idle, grace_s in (("d1", False, 1000.0), ("d2", False, 500.0), ("d3", True, 1.0)):
            scene.replica.drain(drain_id, if_idle=if_idle, grace_s=grace_s, spread_s=100.0)

    async def act_and_lift_the_limit(scene: Scene) -> None:
        await act(scene)
        scene.replica.drain("d4", if_idle=False, grace_s=None)

    async def act_and_undrain(scene: Scene) -> None:
        await act(scene)
        scene.replica.undrain()

    async def seen(scene: Scene, act: Callable[[Scene], Awaitable[None]]) -> None:
        await act(scene)
        for _ in range(5):
            await asyncio.sleep(0)
        plans.append(scene.server.plan)

    plans: list[tuple[float, float] | None] = []
    for each in (act, act_and_lift_the_limit, act_and_undrain):
        play(lambda scene, each=each: seen(scene, each), active_streams=2)  # type: ignore[misc]  # bound default

    assert plans == [(500.0, 100.0), None, None]


def test_end_of_the_grace_is_told() -> None:
    async def act(scene: Scene) -> None:
        scene.replica.drain("d1", if_idle=False, grace_s=0.01)
        await asyncio.wait_for(scene.grace_over.wait(), 5)

    assert play(act).grace_over.is_set()


def test_capacity_is_set() -> None:
    async def act(scene: Scene) -> None:
        scene.replica.set_capacity(2)

    assert play(act).replica.read().stream_capacity == 2


def test_stop_is_reported_without_the_loop() -> None:
    async def act(scene: Scene) -> None:
        scene.replica.set_model(MODEL)
        scene.replica.announce_stop()

    assert play(act).replica.read().state is State.DRAINING


def test_failure_stays() -> None:
    async def act(scene: Scene) -> None:
        scene.replica.fail("bad weights")
        scene.replica.drain("d1", if_idle=False, grace_s=None)

    scene = play(act)

    status = scene.replica.read()
    assert (status.state, status.message) == (State.FAILED, "bad weights")
    assert scene.answers == [("d1", False, 0)]


def test_replica_without_a_server_has_failed() -> None:
    async def run() -> Replica:
        return Replica(None, asyncio.get_running_loop(), lambda: None)

    replica = asyncio.run(run())
    replica.fail("no config.yaml")

    assert replica.read().state is State.FAILED
    assert replica.read().message == "no config.yaml"


def test_command_after_the_end_of_the_loop_is_dropped() -> None:
    scene = play(nothing)

    scene.replica.set_capacity(2)

    assert scene.server.capacity == 4
