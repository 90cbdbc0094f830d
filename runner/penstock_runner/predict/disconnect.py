"""Whether the client of a request is still there, for the pipeline and for the model (truss.md section 2.5).

A client that leaves ends nothing by itself. The model can ask (`await request.is_disconnected()`), or watch
(`with request.state.watch_disconnect() as event`), also from a thread.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from penstock_runner.predict.failures import ClientGone

EXTENSION = "penstock.disconnect"
"""Key in the extensions of an ASGI scope under which a server puts a DisconnectSignal that it sets."""


class DisconnectSignal:
    """Tells that the client is gone. It is set once, on the event loop; any thread may watch it."""

    __slots__ = ("_callbacks", "_events", "is_set")

    def __init__(self) -> None:
        self.is_set = False
        self._callbacks: list[Callable[[], object]] = []
        self._events: set[threading.Event] = set()

    def set(self) -> None:
        """Wakes all that watch. Only the first call counts."""
        if self.is_set:
            return
        self.is_set = True
        for event in tuple(self._events):
            event.set()
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()

    def watch(self, event: threading.Event) -> None:
        """Has `event` set when the client is gone, at once if it is. Any thread."""
        # In this order: `set` may run between the two lines, in another thread.
        self._events.add(event)
        if self.is_set:
            event.set()

    def unwatch(self, event: threading.Event) -> None:
        """Leaves `event` alone from now on. Any thread."""
        self._events.discard(event)

    def add_callback(self, callback: Callable[[], object]) -> None:
        """Has `callback` called when the client is gone, at once if it is. The event loop's thread only."""
        if self.is_set:
            callback()
        else:
            self._callbacks.append(callback)

    def remove_callback(self, callback: Callable[[], object]) -> None:
        """Takes `add_callback` back."""
        if callback in self._callbacks:
            self._callbacks.remove(callback)


class ClientPresence:
    """The client of one request, and its ASGI `receive`.

    A server that puts a DisconnectSignal into the scope makes it free. With any other server a task waits for
    `http.disconnect`, from the first question on, and from the end of the body on: before it, only reading the body
    tells that the client is gone.
    """

    __slots__ = ("_is_body_whole", "_is_told", "_loop", "_receive", "_watcher", "signal")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        signal = scope["extensions"].get(EXTENSION) if scope.get("extensions") else None
        self._is_told = signal is not None
        self.signal: DisconnectSignal = signal or DisconnectSignal()
        self._receive = receive
        self._is_body_whole = False
        self._watcher: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()

    async def receive(self) -> Message:
        """ASGI receive, as the server gives it."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.signal.set()
        elif not message.get("more_body"):
            self._is_body_whole = True
        return message

    async def is_gone(self) -> bool:
        """Whether the client has left. Does not suspend when the server sets the signal."""
        if not self._is_told and not self.signal.is_set:
            self._ask()
            await asyncio.sleep(0)  # the watcher sees what the server knows already
        return self.signal.is_set

    def watch(self) -> DisconnectWatch:
        """What models know as `request.state.watch_disconnect()`. Any thread."""
        return DisconnectWatch(self)

    def ask_from_thread(self) -> None:
        """Starts to wait for the disconnect, where the server does not set the signal. Any thread."""
        if not self._is_told:
            self._loop.call_soon_threadsafe(self._ask)

    def close(self) -> None:
        """Ends the watcher, if there is one. The request has been answered."""
        self._is_told = True
        if self._watcher is not None:
            self._watcher.cancel()

    def _ask(self) -> None:
        if self._watcher is None and self._is_body_whole and not self._is_told:
            self._watcher = self._loop.create_task(self._wait())

    async def _wait(self) -> None:
        while not self.signal.is_set:
            await self.receive()


class DisconnectWatch:
    """`with request.state.watch_disconnect() as event`: a threading.Event that is set once the client is gone.

    Usable in any thread. Leaving the block ends the watch; the event stays as it is then.
    """

    __slots__ = ("_event", "_presence")

    def __init__(self, presence: ClientPresence) -> None:
        self._presence = presence
        self._event = threading.Event()

    def __enter__(self) -> threading.Event:
        self._presence.signal.watch(self._event)
        self._presence.ask_from_thread()
        return self._event

    def __exit__(self, *_exc: object) -> None:
        self._presence.signal.unwatch(self._event)


class PredictRequest(Request):
    """The request that a model gets. It differs from Starlette's in how it looks for a disconnect: that one would throw
    away a part of the body."""

    def __init__(self, scope: Scope, presence: ClientPresence, send: Send) -> None:
        super().__init__(scope, presence.receive, send)
        self.presence = presence
        state: dict[str, Any] = scope.setdefault("state", {})
        state["watch_disconnect"] = presence.watch

    async def is_disconnected(self) -> bool:
        """Whether the client has left. Lets the event loop run, which may be the only chance to hear of it."""
        await asyncio.sleep(0)
        return await self.presence.is_gone()


class CancelledWhenGone:
    """Context manager that cancels the task within it when the client leaves (`penstock.cancel_on_disconnect`).

    Raises:
        ClientGone: The client left. A cancellation by anybody else stays one.
    """

    __slots__ = ("_cancellations", "_is_cancelled", "_presence", "_task")

    def __init__(self, presence: ClientPresence) -> None:
        self._presence = presence
        self._is_cancelled = False
        self._cancellations = 0
        self._task: asyncio.Task[Any] | None = None

    def __enter__(self) -> None:
        self._task = asyncio.current_task()
        assert self._task is not None
        if self._presence.signal.is_set:
            raise ClientGone("predict")
        self._cancellations = self._task.cancelling()
        self._presence.ask_from_thread()
        self._presence.signal.add_callback(self._cancel)

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._presence.signal.remove_callback(self._cancel)
        if self._is_cancelled:
            assert self._task is not None
            is_ours = self._task.uncancel() <= self._cancellations
            if is_ours and exc_type is not None and issubclass(exc_type, asyncio.CancelledError):
                raise ClientGone("predict") from None

    def _cancel(self) -> None:
        self._is_cancelled = True
        assert self._task is not None
        self._task.cancel()
