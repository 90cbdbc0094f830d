"""The runner's line to its controller: one Attach call, on threads of its own.

It uses gRPC's synchronous stack, so that a model which blocks the event loop loses no lease. Statuses are read from
plain attributes; commands are handed to the loop. While there is no controller the runner serves on, and this tries for
ever.
"""

from __future__ import annotations

import contextvars
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

import grpc
import structlog

from penstock.api.control.v1 import control_pb2, control_pb2_grpc
from penstock_runner import control_messages
from penstock_runner.attach_state import AttachState, Status
from penstock_runner.control_messages import Identity

ANSWERS_MAX = 64
"""Answers that wait to be sent. A controller has one drain open per replica; older answers are of no use to it."""

CHANNEL_OPTIONS = [
    # A controller that is gone without a word is noticed although nothing but commands comes from it.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # gRPC's own back-off grows to minutes; ours ends at two seconds, and each attempt has a fresh channel.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.enable_http_proxy", 0),
    # One subchannel per attempt: a shared one would keep the back-off of the attempt before.
    ("grpc.use_local_subchannel_pool", 1),
]

_log = structlog.get_logger("runner")


class Commands(Protocol):
    """What a controller can ask for. Called on the control thread; must not block."""

    def drain(self, drain_id: str, *, if_idle: bool, grace_s: float | None, spread_s: float) -> None:
        """Answers later with `ControlLine.answer_drain`."""

    def undrain(self) -> None: ...

    def set_capacity(self, slots: int) -> None: ...

    def reload(self, reload_id: str) -> None:
        """Answers later with `ControlLine.answer_reload`."""

    def peers(self, peers: control_pb2.ChainPeers) -> None:
        """The other chainlets of the chain, and the edges through which they are called."""


class StatusSource(Protocol):
    """Where the statuses come from. Called on the control thread, also while the loop is blocked."""

    def read(self) -> Status:
        """Returns the replica as it is now, without measurements; cheap."""

    def measured(self, status: Status) -> Status:
        """Returns `status` with lag and memory added; what was measured starts anew."""


class ControlLine:
    """Keeps the controller at `address` informed until closed. All methods may be called from any thread.

    Args:
        on_alone: called on the control thread after every attempt that came to nothing or ended, every few seconds,
            with the replica as it is then.
    """

    def __init__(
        self,
        address: str,
        identity: Identity,
        source: StatusSource,
        commands: Commands,
        *,
        on_attached: Callable[[], None] = lambda: None,
        on_alone: Callable[[Status], None] = lambda _: None,
    ) -> None:
        self._address = address
        self._identity = identity
        self._source = source
        self._commands = commands
        self._on_attached = on_attached
        self._on_alone = on_alone
        self._state = AttachState()
        self._wakeup = threading.Condition()
        # Guarded by _wakeup:
        self._answers: deque[control_pb2.AttachRequest] = deque(maxlen=ANSWERS_MAX)
        self._dirty = False
        self._closing = False
        self._finished = False
        self._call_number = 0
        self._call: grpc.Call | None = None
        # With the context of the maker, for the keys that its logs carry.
        self._thread = threading.Thread(
            target=contextvars.copy_context().run, args=(self._run,), name="control", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def changed(self) -> None:
        """Has the status read anew, and sent when it differs. Call it after the change; it costs little."""
        if self._dirty:
            # The control thread has yet to read the status, and will see this change as well.
            return
        with self._wakeup:
            self._dirty = True
            self._wakeup.notify_all()

    def answer_drain(self, drain_id: str, *, accepted: bool, active_streams: int) -> None:
        answer = control_messages.drain_result_request(drain_id, accepted=accepted, active_streams=active_streams)
        with self._wakeup:
            self._answers.append(answer)
            self._wakeup.notify_all()

    def answer_reload(self, reload_id: str, *, reloaded: bool, message: str, needs_restart: bool) -> None:
        answer = control_messages.reload_result_request(
            reload_id, reloaded=reloaded, message=message, needs_restart=needs_restart
        )
        with self._wakeup:
            self._answers.append(answer)
            self._wakeup.notify_all()

    def close(self, timeout_s: float) -> bool:
        """Sends the status of this moment as the last one and ends the call; returns whether the controller heard it.

        Blocks for at most `timeout_s`.
        """
        with self._wakeup:
            self._closing = True
            self._wakeup.notify_all()
        self._thread.join(timeout_s)
        with self._wakeup:
            self._finished = True
            call = self._call
            self._wakeup.notify_all()
        if self._thread.is_alive() and call is not None:
            call.cancel()
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            heard = self._attach_once()
            with self._wakeup:
                if self._finished or (self._closing and heard):
                    return
            self._on_alone(self._source.read())
            with self._wakeup:
                pause_s = self._state.disconnected()
                # Spread, so that the runners of one machine do not come back in step.
                self._wakeup.wait_for(lambda: self._finished, pause_s * random.uniform(0.8, 1.2))

    def _attach_once(self) -> bool:
        """Opens one call and serves it to its end; returns whether the controller ended it well."""
        registered = False
        with grpc.insecure_channel(self._address, options=CHANNEL_OPTIONS) as channel:
            stub = control_pb2_grpc.RunnerRegistryServiceStub(channel)
            with self._wakeup:
                self._call_number += 1
                number = self._call_number
            call = stub.Attach(self._requests(number))
            with self._wakeup:
                self._call = call
            try:
                for response in call:
                    self._handle(response)
                    registered = True
                return True
            except grpc.RpcError as exc:
                if registered:
                    code = exc.code().name if isinstance(exc, grpc.Call) else "UNKNOWN"
                    _log.warning("controller_lost", code=code, address=self._address)
                return False
            finally:
                with self._wakeup:
                    # Ends the iterator of requests, which gRPC reads on a thread of its own.
                    self._call_number += 1
                    self._call = None
                    self._wakeup.notify_all()
                call.cancel()

    def _requests(self, number: int) -> Iterator[control_pb2.AttachRequest]:
        while (request := self._next_request(number)) is not None:
            yield request

    def _next_request(self, number: int) -> control_pb2.AttachRequest | None:
        """Waits for what is to be sent on call `number`; None ends it."""
        with self._wakeup:
            while number == self._call_number and not self._finished:
                now = time.monotonic()
                # Before the read: a change that comes after it must wake us again.
                self._dirty = False
                status = self._source.read()
                if not self._state.attached:
                    sequence = self._state.next_sequence(status, now)
                    measured = self._source.measured(status)
                    return control_messages.register_request(self._identity, measured, sequence)
                if self._answers:
                    return self._answers.popleft()
                due_at = self._state.due_at(status)
                if due_at <= now:
                    sequence = self._state.next_sequence(status, now)
                    return control_messages.status_request(self._source.measured(status), sequence)
                unsent = self._state.unsent(status)
                if self._closing and not unsent:
                    return None
                # A status is due soon anyway: further changes need not wake this thread.
                self._dirty = unsent
                self._wakeup.wait(due_at - now)
            return None

    def _handle(self, response: control_pb2.AttachResponse) -> None:
        with self._wakeup:
            allowed = self._state.may_command(response.epoch)
        if not allowed:
            _log.warning("old_controller_ignored", epoch=response.epoch, newest_epoch=self._state.epoch)
            return
        match response.WhichOneof("kind"):
            case "registered":
                with self._wakeup:
                    self._state.registered(control_messages.seconds(response.registered.heartbeat))
                _log.info("controller_attached", address=self._address, epoch=response.epoch)
                self._on_attached()
            case "drain":
                drain = response.drain
                self._commands.drain(
                    drain.drain_id,
                    if_idle=drain.if_idle,
                    grace_s=max(0.0, control_messages.seconds(drain.grace)) if drain.HasField("grace") else None,
                    spread_s=control_messages.seconds(drain.spread),
                )
            case "undrain":
                self._commands.undrain()
            case "set_limits":
                self._commands.set_capacity(max(1, response.set_limits.stream_capacity))
            case "reload":
                self._commands.reload(response.reload.reload_id)
            case "chain_peers":
                self._commands.peers(response.chain_peers)
            case None:
                # A command of a newer controller; nothing that we know was asked for.
                _log.warning("unknown_command_ignored", epoch=response.epoch)
