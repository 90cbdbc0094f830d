"""A runner process in virtual time: the production server, sessions, slots, replica and attach state.

Simulated are the threads of its control line, the time that its model takes to load, and the signals.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import deque
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import grpc.aio
from starlette.websockets import WebSocket, WebSocketDisconnect

from penstock.api.control.v1 import control_pb2, control_pb2_grpc
from penstock.close_codes import EndCode
from penstock.truss.settings import PenstockSettings
from penstock_runner import control_messages
from penstock_runner.attach_state import AttachState
from penstock_runner.control import CHANNEL_OPTIONS
from penstock_runner.control_messages import Identity
from penstock_runner.model.loaded import LoadedModel
from penstock_runner.replica import Replica
from penstock_runner.server import RunnerServer
from penstock_runner.slots import Slots
from penstock_testing.simulated_network import Network
from penstock_testing.simulated_node import Node

if TYPE_CHECKING:
    from penstock_controller.actuators.base import ReplicaSpec

FAILURE_HEARD_S = 2.0
LAST_STATUS_S = 1.0
"""As in penstock_runner.process."""

DRAIN_TIMEOUT_S = 3600.0
"""No stream ends because a drained process does not wait for it; the actuator is what is impatient."""


async def pause(seconds: float) -> None:
    """Lets virtual time pass."""
    over = asyncio.Event()
    timer = asyncio.get_running_loop().call_later(seconds, over.set)
    try:
        await over.wait()
    finally:
        timer.cancel()


class CheckedSlots(Slots):
    """Production's slots; each admission is checked against what they hold then.

    Args:
        broken: called with what is wrong.
    """

    __slots__ = ("_broken",)

    def __init__(self, capacity: int, broken: Callable[[str], None]) -> None:
        super().__init__(capacity)
        self._broken = broken

    def acquire(self) -> EndCode | None:
        refusal = super().acquire()
        if refusal is None and (self.active > self.capacity or self.is_draining or not self.is_ready):
            self._broken(f"admitted with {self.active} of {self.capacity} slots, draining {self.is_draining}")
        return refusal


async def echo(websocket: WebSocket) -> None:
    """Answers each message with itself until the client leaves."""
    try:
        while True:
            await websocket.send_bytes(await websocket.receive_bytes())
    except WebSocketDisconnect:
        pass


class SimulatedProcess:
    """One runner process, from its start to its end.

    Args:
        boot_s: time until it listens and attaches.
        load_s: time after that until its model is loaded.
        can_load: whether the model can be loaded.
        on_exit: called once, with the exit status.
        broken: called with every invariant that does not hold.
    """

    def __init__(
        self,
        network: Network,
        seeded: random.Random,
        spec: ReplicaSpec,
        pid: int,
        *,
        slots: int,
        boot_s: float,
        load_s: float,
        can_load: bool,
        on_exit: Callable[[SimulatedProcess, int], None],
        broken: Callable[[str], None],
    ) -> None:
        self.spec = spec
        self.pid = pid
        self.replica_id = spec.replica_id
        self.deployment_id = spec.deployment_id
        self.started_at = network.loop.time()
        self.node = Node(f"runner-{pid}")
        self.server: RunnerServer | None = None
        self.is_terminated = False
        """It got SIGTERM."""
        self.is_ready = False
        self.crashed_at: float | None = None
        """When it died of itself, or of a fault of the simulation."""
        self.obeyed: list[tuple[int, str]] = []
        """Epoch and kind of every command that it has carried out."""
        self.changed_at = self.started_at
        """When its slots or its state last changed."""
        self.attached_at: float | None = None
        """Since when its controller has answered on the call that is open."""
        self.attached_epoch = 0
        self.exited = asyncio.Event()
        self._network, self._random = network, seeded
        self._slots = slots
        self._boot_s, self._load_s, self._can_load = boot_s, load_s, can_load
        self._on_exit = on_exit
        self._broken = broken
        self._stop = asyncio.Event()
        self._cut = asyncio.Event()
        self._state = AttachState()
        self._answers: deque[control_pb2.AttachRequest] = deque(maxlen=64)
        self._dirty = asyncio.Event()
        self._is_closing = False
        self._blocked_until = 0.0
        self._asked_if_idle: set[str] = set()
        self._late: list[Callable[[], None]] = []
        self._heard_last = asyncio.Event()
        self._call_number = itertools.count(1)
        self._current_call = 0
        self.node.spawn(self._run(), f"runner {self.replica_id}")

    @property
    def is_alive(self) -> bool:
        return self.node.is_alive

    @property
    def active_streams(self) -> int:
        return 0 if self.server is None else self.server.active_streams

    @property
    def is_draining(self) -> bool:
        return self.is_terminated or (self.server is not None and self.server.draining)

    # Signals.

    def terminate(self) -> None:
        """SIGTERM."""
        if self.is_alive and not self.is_terminated:
            self.is_terminated = True
            if self.server is not None:
                self.replica.announce_stop()
            self._stop.set()

    def crash(self, status: int = -9) -> None:
        """The process dies at once."""
        if self.is_alive:
            self.crashed_at = self._network.loop.time()
            self._end(status)

    def _end(self, status: int) -> None:
        if self.is_alive:
            self._network.kill(self.node)
            self.exited.set()
            self._on_exit(self, status)

    # The life of the process, as in penstock_runner.process.

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        await pause(self._boot_s)
        server = RunnerServer(
            replica_id=self.replica_id,
            deployment_id=self.deployment_id,
            settings=PenstockSettings(max_concurrency=self._slots),
            on_change=self._changed,
        )
        slots = CheckedSlots(self._slots, lambda what: self._broken(f"{self.replica_id}: {what}"))
        server.__dict__["_slots"] = server.__dict__["_sessions"].__dict__["_slots"] = slots
        address = await server.start(f"{self.node.name}:0")
        self.server = server
        self.replica = Replica(server, loop, self._cut_streams)
        self.replica.on_change = self._changed
        self.replica.answer_drain = self._answer_drain
        self._identity = Identity(
            replica_id=self.replica_id,
            deployment_id=self.deployment_id,
            boot_id=f"boot-{self.pid}",
            address=address,
            pid=self.pid,
            pid_start_ticks=self.pid,
            version="0",
            started_at_s=self.started_at,
        )
        self.node.spawn(self._keep_attached(), f"control line of {self.replica_id}")
        try:
            async with asyncio.timeout(self._load_s):
                await self._stop.wait()
        except TimeoutError:
            pass
        if not self._stop.is_set():
            if not self._can_load:
                self.replica.fail("the model cannot be loaded")
                await self._close_line(FAILURE_HEARD_S)
                self._end(1)
                return
            self.replica.set_model(LoadedModel(None, echo, Path("/model.py")))
            self.is_ready = True
            await self._stop.wait()
        self.replica.begin_drain()
        stopping = asyncio.create_task(server.stop(DRAIN_TIMEOUT_S))
        cutting = asyncio.create_task(self._cut.wait())
        await asyncio.wait((stopping, cutting), return_when=asyncio.FIRST_COMPLETED)
        if not stopping.done():
            await server.stop(0.0)
        await self._close_line(LAST_STATUS_S)
        self._end(0)

    def _cut_streams(self) -> None:
        self._cut.set()
        self._stop.set()

    def _changed(self) -> None:
        self.changed_at = self._network.loop.time()
        self._dirty.set()

    # The control line, as in penstock_runner.control.

    def _answer_drain(self, drain_id: str, accepted: bool, active: int) -> None:
        if accepted and active and drain_id in self._asked_if_idle:
            self._broken(f"{self.replica_id} agrees to go with {active} streams")
        self._answers.append(control_messages.drain_result_request(drain_id, accepted=accepted, active_streams=active))
        self._dirty.set()

    async def _close_line(self, timeout_s: float) -> None:
        self._is_closing = True
        self._dirty.set()
        try:
            async with asyncio.timeout(timeout_s):
                await self._heard_last.wait()
        except TimeoutError:
            pass

    async def _keep_attached(self) -> None:
        while True:
            heard = await self._attach_once()
            self.attached_at = None
            if self._is_closing and heard:
                self._heard_last.set()
                return
            await pause(self._state.disconnected() * self._random.uniform(0.8, 1.2))

    async def _attach_once(self) -> bool:
        self._current_call = number = next(self._call_number)
        async with grpc.aio.insecure_channel("controller:1", options=CHANNEL_OPTIONS) as channel:
            stub = control_pb2_grpc.RunnerRegistryServiceStub(channel)
            call = stub.Attach(self._requests(number))
            try:
                async for response in call:
                    self._handle(response)
                return True
            except grpc.aio.AioRpcError:
                return False
            finally:
                self._current_call = 0
                call.cancel()

    async def _requests(self, number: int) -> AsyncIterator[control_pb2.AttachRequest]:
        loop, state = self._network.loop, self._state
        while number == self._current_call:
            now = loop.time()
            self._dirty.clear()
            status = self.replica.read()
            if not state.attached:
                sequence = state.next_sequence(status, now)
                yield control_messages.register_request(self._identity, status, sequence)
                continue
            if self._answers:
                yield self._answers.popleft()
                continue
            due_at = state.due_at(status)
            if due_at <= now:
                yield control_messages.status_request(status, state.next_sequence(status, now))
                continue
            unsent = state.unsent(status)
            if self._is_closing and not unsent:
                return
            try:
                async with asyncio.timeout_at(due_at):
                    await self._dirty.wait()
            except TimeoutError:
                pass

    def _handle(self, response: control_pb2.AttachResponse) -> None:
        if not self._state.may_command(response.epoch):
            return
        kind = response.WhichOneof("kind")
        if self.obeyed and response.epoch < max(epoch for epoch, _ in self.obeyed):
            self._broken(f"{self.replica_id} obeys {kind} of epoch {response.epoch} after that of a newer controller")
        self.obeyed.append((response.epoch, str(kind)))
        match kind:
            case "registered":
                self._state.registered(control_messages.seconds(response.registered.heartbeat))
                self.attached_at = self._network.loop.time()
                self.attached_epoch = response.epoch
            case "drain":
                drain = response.drain
                if drain.if_idle:
                    self._asked_if_idle.add(drain.drain_id)
                grace_s = max(0.0, control_messages.seconds(drain.grace)) if drain.HasField("grace") else None
                self._command(
                    lambda: self.replica.drain(
                        drain.drain_id,
                        if_idle=drain.if_idle,
                        grace_s=grace_s,
                        spread_s=control_messages.seconds(drain.spread),
                    )
                )
            case "undrain":
                self._command(self.replica.undrain)
            case "set_limits":
                self._command(lambda: self.replica.set_capacity(max(1, response.set_limits.stream_capacity)))

    # A model that blocks its event loop.

    @property
    def is_blocked(self) -> bool:
        return self._network.loop.time() < self._blocked_until

    def block(self, seconds: float) -> None:
        """The model keeps the loop for itself: commands wait, while statuses still go out."""
        self._blocked_until = self._network.loop.time() + seconds
        self._network.loop.call_at(self._blocked_until, self._unblocked)

    def _command(self, command: Callable[[], None]) -> None:
        if self.is_blocked:
            self._late.append(command)
        else:
            command()

    def _unblocked(self) -> None:
        late, self._late = self._late, []
        for command in late:
            command()
