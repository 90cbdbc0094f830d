"""The server of a model's own: an ASGI app that answers requests as a Truss server does (truss.md section 5)."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from penstock.truss import TrussConfig
from penstock_runner.model.definition import EXTRA_METHODS, InputKind
from penstock_runner.model.loaded import LoadedModel
from penstock_runner.predict.codec import is_binary
from penstock_runner.predict.disconnect import CancelledWhenGone, ClientPresence, PredictRequest
from penstock_runner.predict.endpoints import Endpoint, RefusedRequestError, find_endpoint
from penstock_runner.predict.failures import (
    ClientGone,
    MethodNotImplemented,
    ModelNotReady,
    failure_response,
    model_traceback,
)
from penstock_runner.predict.inputs import input_annotation, read_body, read_inputs
from penstock_runner.predict.permits import Permit, Permits
from penstock_runner.predict.pipeline import Outcome, Pipeline, Step, make_step
from penstock_runner.predict.responses import is_response, render
from penstock_runner.predict.schema import make_schema
from penstock_runner.predict.streaming import ResponseCutError, Streamer, is_stream
from penstock_runner.predict.threads import ThreadPool, threads_for
from penstock_runner.predict.user_metrics import user_metrics
from penstock_runner.request_ids import bind_request_ids
from penstock_runner.stream import ClientDisconnectedError

HEALTH_TIMEOUT_S = 30.0
"""Longest wait for the model's `is_healthy`; then it counts as not healthy."""

_USER_FAILURES = (Exception, SystemExit, KeyboardInterrupt)
"""What user code raises is answered, all of it: SystemExit and KeyboardInterrupt would end the loop, and with it every
other stream."""

_log = structlog.get_logger("runner")


@dataclass(frozen=True, slots=True)
class Capacity:
    """What bounds the work of one replica, whichever code it runs."""

    threads: ThreadPool
    permits: Permits

    @classmethod
    def of(cls, config: TrussConfig) -> Capacity:
        """Makes what `runtime.predict_concurrency` asks for."""
        count = config.predict_concurrency
        return cls(ThreadPool(threads_for(count)), Permits(count))


class RequestApp:
    """Answers the requests to one model. Belongs to the event loop on which it is called.

    A call returns when everything is done that the request has begun, also when its client is gone before. A generator
    that was cut off because it yielded nothing for too long goes on behind its back.
    """

    def __init__(self, model: LoadedModel, config: TrussConfig, *, capacity: Capacity | None = None) -> None:
        definition = model.definition
        self._model = model
        self._config = config
        self._capacity = capacity or Capacity.of(config)
        self._health: asyncio.Task[bool] | None = None
        threads = self._capacity.threads
        self._streamer = Streamer(threads, config.streaming_read_timeout_s, self._stream_failed)
        self._pipeline: Pipeline | None = None
        self._input_model: type | None = None
        if definition.predict is not None:
            self._pipeline = Pipeline(definition, threads, self._capacity.permits)
            self._input_model = input_annotation(self._pipeline.first.method)
        self._extras: dict[Endpoint, tuple[Step, type | None]] = {}
        for name in EXTRA_METHODS:
            method = getattr(definition, name)
            if method is not None:
                self._extras[Endpoint(name)] = (make_step(name, method, threads), input_annotation(method))

    def with_model(self, model: LoadedModel) -> RequestApp:
        """Returns an app for newer code of the same model. It shares permits and threads with this one, whose calls go
        on."""
        return RequestApp(model, self._config, capacity=self._capacity)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request.

        Raises:
            ResponseCutError: The response has begun and cannot be completed.
            OSError: The client had left.
        """
        assert scope["type"] == "http"
        presence = ClientPresence(scope, receive)
        request = PredictRequest(scope, presence, send)
        bound = bind_request_ids(scope["headers"])
        try:
            if self._config.penstock.cancel_on_disconnect:
                with CancelledWhenGone(presence):
                    await self._serve(request, send)
            else:
                await self._serve(request, send)
        except ClientGone as exc:
            raise ClientDisconnectedError(str(exc)) from None
        finally:
            presence.close()
            if bound:
                structlog.contextvars.reset_contextvars(**bound)

    async def is_healthy(self) -> bool:
        """Asks the model's `is_healthy`; True when it has none. Never raises; a failure is logged."""
        method = self._model.definition.is_healthy
        if method is None:
            return True
        if self._health is None or self._health.done():
            # One at a time: a check that hangs takes one thread, not one more for each that asks.
            step = make_step("is_healthy", method, self._capacity.threads)
            self._health = asyncio.get_running_loop().create_task(self._check_health(step))
        done, _ = await asyncio.wait([self._health], timeout=HEALTH_TIMEOUT_S)
        if not done:
            _log.warning("Health check failed.", cause=f"no answer within {HEALTH_TIMEOUT_S:g} s")
        return bool(done) and self._health.result()

    async def _check_health(self, step: Step) -> bool:
        try:
            is_healthy = bool(await step.call())
        except _USER_FAILURES as exc:
            _log.warning("Health check failed.", traceback=model_traceback(exc, self._model.model_file))
            return False
        if not is_healthy:
            _log.warning("Health check failed.")
        return is_healthy

    async def _serve(self, request: PredictRequest, send: Send) -> None:
        outcome = Outcome(None)
        try:
            outcome = await self._answer(request)
            result = outcome.result
            is_streamed = is_stream(result)
            is_made = not is_streamed and is_response(result)
            # A response of the model's own is rendered, too: it may need error headers.
            response = None if is_streamed else render(result, binary=is_binary(request.headers.get("content-type")))
        except (*_USER_FAILURES, asyncio.CancelledError) as exc:
            if outcome.permit is not None:
                outcome.permit.release()
            if _is_cancelled(exc):
                raise
            is_made, response = False, self._failed(exc, request)
        if response is None:
            await self._streamer.send(outcome.result, outcome.permit, send)
        elif is_made:
            await self._send_made(response, outcome.permit, request, send)
        else:
            await response(request.scope, request.receive, send)

    async def _send_made(self, response: Response, permit: Permit | None, request: PredictRequest, send: Send) -> None:
        """Sends a response that the model has made, and runs the model's code in it."""
        progress = _Progress(send)
        try:
            await response(request.scope, request.receive, progress.send)
        except (*_USER_FAILURES, asyncio.CancelledError) as exc:
            if _is_cancelled(exc):
                raise
            if progress.gone is not None:
                raise progress.gone from None
            if not progress.has_begun:
                await self._failed(exc, request)(request.scope, request.receive, send)
                return
            self._stream_failed(exc)
            if not progress.is_complete:
                raise ResponseCutError("the response of the model has failed") from exc
        finally:
            if permit is not None:
                permit.release()

    async def _answer(self, request: PredictRequest) -> Outcome:
        endpoint = find_endpoint(request.method, request.scope["path"])
        if endpoint is Endpoint.PREDICT:
            return await self._predict(request)
        if endpoint is Endpoint.LIVE:
            return Outcome(True)
        if endpoint is Endpoint.READY:
            if not await self.is_healthy():
                raise ModelNotReady
            return Outcome({})
        if endpoint is Endpoint.LOADED:
            return Outcome({})
        if endpoint is Endpoint.SCHEMA:
            schema = make_schema(self._model.definition)
            if schema is None:
                raise RefusedRequestError(404, "No schema found")
            return Outcome(schema)
        if endpoint is Endpoint.METRICS:
            return Outcome(user_metrics())
        return await self._call_extra(endpoint, request)

    async def _predict(self, request: PredictRequest) -> Outcome:
        pipeline = self._pipeline
        if pipeline is None:
            raise MethodNotImplemented("`predict` must only be called if model has it.")
        inputs = await self._read(request, self._input_model, is_parsed=pipeline.is_body_parsed)
        return await self._gathered(await pipeline.run(inputs, request), request)

    async def _call_extra(self, endpoint: Endpoint, request: PredictRequest) -> Outcome:
        extra = self._extras.get(endpoint)
        if extra is None:
            raise MethodNotImplemented(f"`{endpoint.value}` must only be called if model has it.")
        step, model = extra
        inputs = await self._read(request, model, is_parsed=step.takes is not InputKind.REQUEST_ONLY)
        return await self._gathered(Outcome(await step.run(inputs, request)), request)

    async def _read(self, request: PredictRequest, model: type | None, *, is_parsed: bool) -> Any:
        bytes_max = self._config.penstock.message_bytes_max
        if is_parsed:
            return await read_inputs(request, model, bytes_max=bytes_max)
        # Read all the same: a method in a thread cannot await what comes on the event loop.
        await read_body(request, bytes_max=bytes_max)
        return None

    async def _gathered(self, outcome: Outcome, request: PredictRequest) -> Outcome:
        """Returns the items of a stream as one text for a caller that takes JSON only.

        OpenAI's client says that it takes JSON, but reads streams.
        """
        if (
            not is_stream(outcome.result)
            or request.headers.get("accept") != "application/json"
            or "openai" in request.headers.get("user-agent", "").lower()
        ):
            return outcome
        try:
            return Outcome(await self._streamer.gather(outcome.result))
        finally:
            if outcome.permit is not None:
                outcome.permit.release()

    def _failed(self, exc: BaseException, request: PredictRequest) -> Response:
        if isinstance(exc, RefusedRequestError):
            return exc.response()
        return failure_response(exc, model_file=self._model.model_file, request_headers=request.headers)

    def _stream_failed(self, exc: BaseException) -> None:
        _log.error(
            "Exception while generating streamed response",
            traceback=model_traceback(exc, self._model.model_file),
        )


class _Progress:
    """ASGI `send`, which notes how far the response is."""

    __slots__ = ("_send", "gone", "has_begun", "is_complete")

    def __init__(self, send: Send) -> None:
        self._send = send
        self.has_begun = False
        self.is_complete = False
        self.gone: OSError | None = None
        """What sending raised: the client has left."""

    async def send(self, message: MutableMapping[str, Any]) -> None:
        self.has_begun = True
        self.is_complete = message["type"] == "http.response.body" and not message.get("more_body")
        try:
            await self._send(message)
        except OSError as exc:
            self.gone = exc
            raise


def _is_cancelled(exc: BaseException) -> bool:
    """Whether somebody has cancelled this task. Otherwise user code has awaited something that was cancelled."""
    task = asyncio.current_task()
    return isinstance(exc, asyncio.CancelledError) and task is not None and task.cancelling() > 0
