"""Runs the model's handler for each stream, and turns every way in which it ends into one close.

When a client leaves, its handler is told at once: the next `receive` returns a disconnect, the next `send` raises. A
handler that takes no notice within `disconnect_grace_s` (because it waits for something else) is cancelled; one that
was told may clean up for `cleanup_grace_s`. Messages that came before the disconnect are still handed out. A handler
that goes on for `cleanup_grace_s` after it was cancelled loses its slot.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from starlette.websockets import WebSocketDisconnect

from penstock.api.trunk.v1 import trunk_pb2
from penstock.close_codes import TABLE, EndCode
from penstock.trunk.endpoint import Endpoint
from penstock.trunk.stream import TrunkStream
from penstock.truss.settings import PenstockSettings
from penstock_runner.model.loaded import LoadedModel, format_user_traceback
from penstock_runner.slots import Slots
from penstock_runner.stream import MessageTooBigError, ModelStream
from penstock_runner.websocket import make_websocket

log = structlog.get_logger("runner")


class Sessions:
    """All streams of a replica, over all trunks.

    Args:
        on_change: called after every change of the number of held slots.
    """

    def __init__(
        self, deployment_id: str, slots: Slots, settings: PenstockSettings, on_change: Callable[[], None]
    ) -> None:
        self._deployment_id = deployment_id
        self._slots = slots
        self._settings = settings
        self._on_change = on_change
        self._loop = asyncio.get_running_loop()
        self._model: LoadedModel | None = None
        self._sessions: set[Session] = set()
        self._idle_waiters: list[asyncio.Future[None]] = []

    def set_model(self, model: LoadedModel) -> None:
        """Streams are admitted from now on."""
        self._model = model
        self._slots.is_ready = True
        self._on_change()

    def open(self, endpoint: Endpoint, stream: TrunkStream, request: trunk_pb2.OpenStream) -> None:
        """Admits or rejects a new stream, without suspending."""
        if request.deployment_id != self._deployment_id:
            reject = trunk_pb2.RejectStream(code=EndCode.NOT_FOUND, reason="Replica serves another deployment.")
            endpoint.reject(stream, reject)
            return
        refusal = self._slots.acquire()
        if refusal is not None:
            endpoint.reject(stream, trunk_pb2.RejectStream(code=refusal, retry_after_seconds=1))
            return
        assert self._model is not None
        self._on_change()
        session = Session(self, self._model, stream, request)
        self._sessions.add(session)
        endpoint.accept(stream, trunk_pb2.AcceptStream())
        session.start()

    def ended(self, session: Session) -> None:
        """Gives the slot back; only the first call of a session counts."""
        if session not in self._sessions:
            return
        self._sessions.discard(session)
        self._slots.release()
        self._on_change()
        if not self._sessions:
            waiters, self._idle_waiters = self._idle_waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    async def wait_idle(self) -> None:
        """Returns when no slot is held."""
        while self._sessions:
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._idle_waiters.append(waiter)
            await waiter

    def end_all(self, code: EndCode) -> int:
        """Closes every stream with `code` and cancels its handler. Returns how many there were."""
        sessions = list(self._sessions)
        for session in sessions:
            session.end(code)
        return len(sessions)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop on which handlers run."""
        return self._loop

    @property
    def settings(self) -> PenstockSettings:
        """The deployment's settings."""
        return self._settings


class Session:
    """One stream and the task that runs the model's handler for it."""

    __slots__ = ("_model", "_owner", "_receive_calls_seen", "_request", "_stream", "_task", "_timer", "_was_cut")

    def __init__(self, owner: Sessions, model: LoadedModel, stream: TrunkStream, request: trunk_pb2.OpenStream) -> None:
        self._owner = owner
        self._model = model
        self._request: trunk_pb2.OpenStream | None = request
        self._stream = ModelStream(stream, owner.loop, request.message_bytes_max, self._client_left)
        stream.sink = self._stream
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._receive_calls_seen = 0
        self._was_cut = False

    def start(self) -> None:
        """Runs the handler in a task that this session owns."""
        self._task = self._owner.loop.create_task(self._run())

    async def _run(self) -> None:
        request, self._request = self._request, None
        assert request is not None
        stream_id = request.stream_id
        stream = self._stream
        code = EndCode.COMPLETED
        try:
            if self._model.websocket is None:
                code = EndCode.NOT_WEBSOCKET
            else:
                websocket = make_websocket(request, stream)
                del request  # the handler may run for hours: the WebSocket holds what it needs
                await self._model.websocket(websocket)
        except WebSocketDisconnect:
            log.info("client_disconnected", stream_id=stream_id, message="Client terminated websocket connection")
        except asyncio.CancelledError as error:
            if self._was_cut:
                log.info("handler_cancelled", stream_id=stream_id)
            elif self._task is not None and self._task.cancelling():  # the loop is being shut down
                code = EndCode.REPLICA_DRAINING
                raise
            else:  # nobody has cancelled the handler: it has awaited something that was cancelled
                code = self._failed(stream_id, error)
        except MessageTooBigError as error:
            log.error("message_too_big", stream_id=stream_id, detail=str(error))
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            # SystemExit and KeyboardInterrupt of user code would end the loop, and with it every other stream.
            code = self._failed(stream_id, error)
        finally:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            row = TABLE[code]
            stream.close(code, row.close_code, row.reason)
            self._task = None
            self._owner.ended(self)

    def _failed(self, stream_id: str, error: BaseException) -> EndCode:
        code = EndCode.MODEL_ERROR
        log.error(
            "handler_failed",
            stream_id=stream_id,
            message=TABLE[code].reason,
            traceback=format_user_traceback(error, self._model.model_file),
        )
        return code

    def end(self, code: EndCode) -> None:
        """Closes the stream with `code` and cancels the handler."""
        row = TABLE[code]
        self._stream.close(code, row.close_code, row.reason)
        self._cancel()

    def _cancel(self) -> None:
        if self._task is not None:
            self._was_cut = True
            self._task.cancel()

    def _cancel_for_good(self) -> None:
        self._cancel()
        self._timer = self._owner.loop.call_later(self._owner.settings.cleanup_grace_s, self._give_up)

    def _give_up(self) -> None:
        self._timer = None
        log.warning("handler_ignores_cancellation", after_s=self._owner.settings.cleanup_grace_s)
        row = TABLE[EndCode.CLIENT_GONE]
        self._stream.close(row.code, row.close_code, row.reason)
        self._owner.ended(self)

    def _client_left(self) -> None:
        if self._task is None:  # the handler has ended before, and this is the client's answer
            return
        self._receive_calls_seen = self._stream.receive_calls
        self._timer = self._owner.loop.call_later(self._owner.settings.disconnect_grace_s, self._check_notice)

    def _check_notice(self) -> None:
        """Cancels a handler that has neither been told of the disconnect nor taken a message since the last look."""
        settings = self._owner.settings
        if self._stream.is_disconnect_told:
            self._timer = self._owner.loop.call_later(settings.cleanup_grace_s, self._cancel_for_good)
        elif self._stream.receive_calls > self._receive_calls_seen:
            self._receive_calls_seen = self._stream.receive_calls
            self._timer = self._owner.loop.call_later(settings.disconnect_grace_s, self._check_notice)
        else:
            self._cancel_for_good()
