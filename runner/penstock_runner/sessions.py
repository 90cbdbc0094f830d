"""Runs the model's handler for each stream, and turns every way in which it ends into one close.

When a client leaves, its handler is told at once: the next `receive` returns a disconnect, the next `send` raises. A
handler that takes no notice within `disconnect_grace_s` (because it waits for something else) is cancelled; one that
was told may clean up for `cleanup_grace_s`. Messages that came before the disconnect are still handed out. A handler
that goes on for `cleanup_grace_s` after it was cancelled loses its slot.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import Callable

import structlog
from starlette.types import ASGIApp
from starlette.websockets import WebSocketDisconnect

from penstock.api.trunk.v1 import trunk_pb2
from penstock.close_codes import TABLE, EndCode
from penstock.trunk.endpoint import Endpoint
from penstock.trunk.stream import TrunkStream
from penstock.truss.settings import PenstockSettings
from penstock_runner.drain_ends import spread_ends
from penstock_runner.model.loaded import LoadedModel, format_user_traceback
from penstock_runner.request_ids import bind_request_ids
from penstock_runner.request_session import RequestSession
from penstock_runner.slots import Slots
from penstock_runner.stream import MessageTooBigError, ModelStream
from penstock_runner.websocket import make_websocket

log = structlog.get_logger("runner")


class Sessions:
    """All streams of a replica, over all trunks.

    Args:
        on_change: called after every change of the number of held slots.
        wall: seconds since the epoch.
        draw: random numbers from 0 to 1.
    """

    def __init__(
        self,
        deployment_id: str,
        slots: Slots,
        settings: PenstockSettings,
        on_change: Callable[[], None],
        *,
        wall: Callable[[], float] = time.time,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._deployment_id = deployment_id
        self._slots = slots
        self._settings = settings
        self._on_change = on_change
        self._loop = asyncio.get_running_loop()
        self._model: LoadedModel | None = None
        self._app: ASGIApp | None = None
        self._wall = wall
        self._draw = draw
        # In the order in which they were opened. Not a dict: finding the first key of one passes over every key that
        # was removed before it.
        self._sessions: OrderedDict[Session | RequestSession, float] = OrderedDict()
        self._planned_ends: dict[Session | RequestSession, asyncio.TimerHandle] = {}
        self.oldest_opened_at_s: float | None = None
        """When the oldest open stream began, seconds since the epoch. May be read from any thread, also while the loop
        is blocked."""
        self.planned_ends_total = 0
        """Streams that a plan of `end_within` has ended so far."""
        self._idle_waiters: list[asyncio.Future[None]] = []

    def set_model(self, model: LoadedModel, app: ASGIApp | None = None) -> None:
        """Streams are admitted from now on. Those that are open stay with the model that they began with.

        Args:
            app: serves the requests; without one they are refused.
        """
        self._model = model
        self._app = app
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
        session: Session | RequestSession
        if request.transport != trunk_pb2.TRANSPORT_HTTP:
            session = Session(self, self._model, stream, request)
        elif self._app is not None:
            session = RequestSession(self, self._app, stream, request)
        else:
            self._slots.release()
            endpoint.reject(stream, trunk_pb2.RejectStream(code=EndCode.INTERNAL, http_status=501))
            return
        opened_at_s = self._wall()
        self._sessions[session] = opened_at_s
        if self.oldest_opened_at_s is None:
            self.oldest_opened_at_s = opened_at_s
        self._on_change()
        # In this order its task runs before the writer: a quick answer leaves in one batch with the acceptance.
        session.start()
        endpoint.accept(stream, trunk_pb2.AcceptStream())

    def ended(self, session: Session | RequestSession) -> None:
        """Gives the slot back; only the first call of a session counts."""
        if session not in self._sessions:
            return
        del self._sessions[session]
        self.oldest_opened_at_s = next(iter(self._sessions.values()), None)
        planned = self._planned_ends.pop(session, None)
        if planned is not None:
            planned.cancel()
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
        """Closes every stream with `code` and cancels its handler. Returns how many this side had not closed yet."""
        return sum([session.end(code) for session in list(self._sessions)])

    def end_within(self, code: EndCode, grace_s: float, spread_s: float) -> None:
        """Ends each stream that is open now with `code`, at a random time in the last `spread_s` of `grace_s`.

        Takes the place of an earlier plan. For a replica that admits no more: streams that open later are not in it.
        """
        self.end_nothing()
        sessions = list(self._sessions)
        for session, after_s in zip(sessions, spread_ends(len(sessions), grace_s, spread_s, self._draw), strict=True):
            self._planned_ends[session] = self._loop.call_later(after_s, self._end_as_planned, session, code)

    def end_nothing(self) -> None:
        """Takes the plan of `end_within` back."""
        for timer in self._planned_ends.values():
            timer.cancel()
        self._planned_ends.clear()

    def _end_as_planned(self, session: Session | RequestSession, code: EndCode) -> None:
        del self._planned_ends[session]
        self.planned_ends_total += session.end(code)

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
                bind_request_ids(websocket.scope["headers"])  # this task has a context of its own
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

    def end(self, code: EndCode) -> bool:
        """Closes the stream with `code` and cancels the handler, which may clean up for `cleanup_grace_s`.

        Returns whether this side had not closed it yet.
        """
        was_open = self._stream.sent_close is None
        row = TABLE[code]
        self._stream.close(code, row.close_code, row.reason)
        if not self._was_cut:
            self._cancel_for_good()
        return was_open

    def _cancel(self) -> None:
        if self._task is not None:
            self._was_cut = True
            self._task.cancel()

    def _cancel_for_good(self) -> None:
        self._cancel()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._owner.loop.call_later(self._owner.settings.cleanup_grace_s, self._give_up)

    def _give_up(self) -> None:
        self._timer = None
        log.warning("handler_ignores_cancellation", after_s=self._owner.settings.cleanup_grace_s)
        row = TABLE[EndCode.CLIENT_GONE]
        self._stream.close(row.code, row.close_code, row.reason)
        self._owner.ended(self)

    def _client_left(self) -> None:
        if self._task is None or self._was_cut:
            # The handler has ended or was cancelled before, and this is the client's answer: to cancel it again would
            # break off its cleanup.
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
