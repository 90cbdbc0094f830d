"""The replica as its controller sees it: state, counts, measurements, and the commands it obeys."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import structlog
from starlette.types import ASGIApp

from penstock.api.control.v1 import control_pb2
from penstock_runner.attach_state import State, Status
from penstock_runner.lag import LoopLag
from penstock_runner.memory_watch import MemoryWatch
from penstock_runner.model.loaded import LoadedModel
from penstock_runner.model_life import ModelLife, Reloaded
from penstock_runner.process_facts import resident_bytes

_log = structlog.get_logger("runner")


class Server(Protocol):
    """What serves the streams (penstock_runner.server.RunnerServer). The properties may be read from any thread."""

    @property
    def active_streams(self) -> int: ...

    @property
    def capacity(self) -> int: ...

    @property
    def streams_total(self) -> int: ...

    @property
    def rejected_total(self) -> int: ...

    @property
    def oldest_stream_at_s(self) -> float | None: ...

    @property
    def draining(self) -> bool: ...

    async def start(self, listen: str) -> str: ...

    def set_model(self, model: LoadedModel, app: ASGIApp | None = None) -> None: ...

    def set_capacity(self, slots: int) -> None: ...

    def set_healthy(self, is_healthy: bool) -> None: ...

    def begin_drain(self, *, if_idle: bool) -> bool: ...

    def end_drain(self) -> None: ...

    def plan_ends(self, grace_s: float, spread_s: float) -> None: ...

    def drop_plan(self) -> None: ...

    async def announce_ready(self, is_ready: bool) -> None: ...

    async def stop(self, grace: float) -> int: ...


class Replica:
    """Reads statuses for the control thread and carries its commands out on the loop.

    `read`, `measured`, `peers`, `drain`, `undrain` and `set_capacity` are called on the control thread, the rest on the
    loop's.
    """

    def __init__(
        self, server: Server | None, loop: asyncio.AbstractEventLoop, on_grace_over: Callable[[], None]
    ) -> None:
        self._server = server
        self._loop = loop
        self._lag = LoopLag(loop)
        self._on_grace_over = on_grace_over
        self._ready = False
        self._stopping = False
        self._failure: str | None = None
        self._life: ModelLife | None = None
        self._memory = MemoryWatch(None)
        self._reloads: set[asyncio.Task[None]] = set()
        self._is_unhealthy = False
        self._grace: asyncio.TimerHandle | None = None
        self._announcements: set[asyncio.Task[None]] = set()
        self.on_change: Callable[[], None] = lambda: None
        self.on_peers: Callable[[control_pb2.ChainPeers], None] = lambda _peers: None
        """Called on the control thread; set before there is one."""
        self.answer_drain: Callable[[str, bool, int], None] = lambda _drain_id, _accepted, _active: None
        self.answer_reload: Callable[[str, Reloaded], None] = lambda _reload_id, _reloaded: None

    def set_model(self, model: LoadedModel, app: ASGIApp | None = None) -> None:
        assert self._server is not None
        self._server.set_model(model, app)
        self._ready = True
        self._lag.start()
        self._announce()
        self.on_change()

    def serve(self, life: ModelLife, memory: MemoryWatch) -> None:
        """Serves a loaded model, watches over it until `stop`, and tells of its health."""
        self._life = life
        self._memory = memory
        self.set_model(life.model, life.app)
        life.start()

    def set_healthy(self, is_healthy: bool) -> None:
        """The model's own health check stops or allows new streams."""
        assert self._server is not None
        self._is_unhealthy = not is_healthy
        self._server.set_healthy(is_healthy)
        self._announce()
        self.on_change()

    def fail(self, message: str) -> None:
        """Has the replica reported as failed, for good."""
        self._failure = message
        self.on_change()

    def announce_stop(self) -> None:
        """Has the replica reported as draining from now on, also while the loop is blocked. For signal handlers."""
        self._stopping = True

    def begin_drain(self) -> None:
        """Admits no more, because the process is to end."""
        if self._server is not None:
            self._server.begin_drain(if_idle=False)
            self._announce()
            self.on_change()

    def stop(self) -> None:
        """Ends the timers, and the watching over the model."""
        if self._life is not None:
            self._life.stop()
        self._lag.stop()
        self._cancel_grace()

    def read(self) -> Status:
        server = self._server
        if self._failure is not None or server is None:
            return Status(State.FAILED, message=self._failure or "")
        if server.draining or self._stopping:
            state = State.DRAINING
        else:
            state = State.READY if self._ready else State.STARTING
        return Status(
            state,
            active_streams=server.active_streams,
            stream_capacity=server.capacity,
            message=self._message(),
            is_unhealthy=self._is_unhealthy,
            endpoints=self._life.endpoints if self._life is not None else (),
            streams_total=server.streams_total,
            rejected_total=server.rejected_total,
            oldest_stream_at_s=server.oldest_stream_at_s,
        )

    def measured(self, status: Status) -> Status:
        lag_s = self._lag.take() if self._ready else None
        resident = resident_bytes()
        warning = self._memory.observe(resident)
        if warning is not None:
            _log.warning("memory_above_limit", detail=warning)
        return replace(status, event_loop_lag_s=lag_s, resident_bytes=resident)

    def _message(self) -> str:
        notes = (self._life.note if self._life is not None else "", self._memory.note)
        return "; ".join(note for note in notes if note)

    def peers(self, peers: control_pb2.ChainPeers) -> None:
        """Hands on what the controller says of the other chainlets."""
        self.on_peers(peers)

    def reload(self, reload_id: str) -> None:
        """Has the model's code imported anew, and answers."""
        self._on_loop(lambda: self._reload(reload_id))

    def drain(self, drain_id: str, *, if_idle: bool, grace_s: float | None, spread_s: float = 0.0) -> None:
        """Stops admission, and plans the ends of the open streams; the last drain that was accepted counts.

        `if_idle` is a compare-and-set because it runs on the loop, where slots are given: nothing comes between the
        look at the slots and the stop of admission. So while the model blocks the loop there is no answer; it comes
        when the loop is free again, with what is true then. The controller must not take silence for either answer.
        """
        self._on_loop(lambda: self._drain(drain_id, if_idle, grace_s, spread_s))

    def undrain(self) -> None:
        self._on_loop(self._undrain)

    def set_capacity(self, slots: int) -> None:
        self._on_loop(lambda: self._set_capacity(slots))

    def _on_loop(self, call: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(call)
        except RuntimeError:
            # The loop is closed: the process ends, and its controller sees that.
            _log.debug("command_came_too_late")

    def _drain(self, drain_id: str, if_idle: bool, grace_s: float | None, spread_s: float) -> None:
        server = self._server
        accepted = server is not None and self._failure is None and server.begin_drain(if_idle=if_idle)
        active = 0 if server is None else server.active_streams
        if server is not None and accepted:
            self._cancel_grace()
            if grace_s is not None:
                server.plan_ends(grace_s, spread_s)
                self._grace = self._loop.call_later(grace_s, self._on_grace_over)
        _log.info("drain_asked", drain_id=drain_id, if_idle=if_idle, accepted=accepted, active_streams=active)
        self.answer_drain(drain_id, accepted, active)
        self._announce()
        self.on_change()

    def _undrain(self) -> None:
        self._cancel_grace()
        if self._server is not None:
            self._server.end_drain()
        _log.info("drain_taken_back")
        self._announce()
        self.on_change()

    def _reload(self, reload_id: str) -> None:
        task = self._loop.create_task(self._reload_and_answer(reload_id), name="reload")
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    async def _reload_and_answer(self, reload_id: str) -> None:
        life, server = self._life, self._server
        if life is None or server is None:
            self.answer_reload(reload_id, Reloaded(False, "The model is not loaded yet."))
            return
        result = await life.reload()
        if result.is_done:
            server.set_model(life.model, life.app)
            self.on_change()
        self.answer_reload(reload_id, result)

    def _set_capacity(self, slots: int) -> None:
        if self._server is not None:
            self._server.set_capacity(slots)
        _log.info("capacity_set", slots=slots)
        self.on_change()

    def _announce(self) -> None:
        """Has the health service say whether streams are admitted."""
        if self._server is None:
            return
        is_ready = self._ready and not self._server.draining and not self._is_unhealthy
        task = self._loop.create_task(self._server.announce_ready(is_ready), name="announce")
        self._announcements.add(task)
        task.add_done_callback(self._announcements.discard)

    def _cancel_grace(self) -> None:
        if self._grace is not None:
            assert self._server is not None
            self._server.drop_plan()
            self._grace.cancel()
            self._grace = None
