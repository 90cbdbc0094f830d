"""Runs the model's app for one request, and turns every way in which it ends into one end of its stream.

A client that leaves does not end the work: Truss models finish what they have begun, and look themselves whether
anybody waits (truss.md section 2.5). With `penstock.cancel_on_disconnect` the app ends it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog
from starlette.types import ASGIApp

from penstock.api.trunk.v1 import trunk_pb2
from penstock.close_codes import EndCode
from penstock.trunk.stream import TrunkStream
from penstock_runner.predict.streaming import ResponseCutError
from penstock_runner.request_stream import RequestStream, make_scope
from penstock_runner.stream import ClientDisconnectedError

if TYPE_CHECKING:
    from penstock_runner.sessions import Sessions

log = structlog.get_logger("runner")


class RequestSession:
    """One request and the task that serves it."""

    __slots__ = ("_app", "_owner", "_request", "_stream", "_task", "_timer", "_was_cut")

    def __init__(self, owner: Sessions, app: ASGIApp, stream: TrunkStream, request: trunk_pb2.OpenStream) -> None:
        self._owner = owner
        self._app = app
        self._request: trunk_pb2.OpenStream | None = request
        self._stream = RequestStream(stream, request, owner.loop)
        stream.sink = self._stream
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._was_cut = False

    def start(self) -> None:
        """Serves it in a task that this session owns."""
        self._task = self._owner.loop.create_task(self._run())

    async def _run(self) -> None:
        request, self._request = self._request, None
        assert request is not None
        stream_id = request.stream_id
        stream = self._stream
        code = EndCode.INTERNAL
        try:
            await self._app(make_scope(request, stream.gone), stream.receive, stream.send)
            code = EndCode.COMPLETED if stream.sent_close is not None else EndCode.MODEL_ERROR
        except ClientDisconnectedError:
            code = EndCode.CLIENT_GONE
        except asyncio.CancelledError:
            code = EndCode.REPLICA_DRAINING
            if not self._was_cut:  # the loop is being shut down
                raise
            log.info("request_cancelled", stream_id=stream_id)
        except ResponseCutError as error:
            code = EndCode.MODEL_ERROR
            log.error("response_cut", stream_id=stream_id, reason=str(error))
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            # What the user's code raises is answered by the app; this is a defect of ours.
            log.error("request_failed", stream_id=stream_id, error=f"{type(error).__name__}: {error}", exc_info=True)
        finally:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            stream.close(code)
            self._task = None
            self._owner.ended(self)

    def end(self, code: EndCode) -> bool:
        """Ends the stream with `code` and cancels the work. Returns whether this side had not closed it yet."""
        was_open = self._stream.sent_close is None
        self._stream.close(code)
        self._cancel()
        return was_open

    def _cancel(self) -> None:
        if self._task is None or self._was_cut:
            return
        self._was_cut = True
        self._task.cancel()
        self._timer = self._owner.loop.call_later(self._owner.settings.cleanup_grace_s, self._give_up)

    def _give_up(self) -> None:
        self._timer = None
        log.warning("handler_ignores_cancellation", after_s=self._owner.settings.cleanup_grace_s)
        self._stream.close(EndCode.CLIENT_GONE)
        self._owner.ended(self)
