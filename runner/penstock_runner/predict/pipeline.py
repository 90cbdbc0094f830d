"""What a request to `predict` goes through: preprocess, predict under a permit, postprocess (truss.md section 2.2)."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from starlette.responses import Response, StreamingResponse

from penstock_runner.model.definition import InputKind, ModelDefinition, input_kind
from penstock_runner.model.errors import ModelDefinitionError
from penstock_runner.predict.disconnect import PredictRequest
from penstock_runner.predict.failures import ClientGone, UserCodeError
from penstock_runner.predict.permits import Permit, Permits
from penstock_runner.predict.streaming import is_stream
from penstock_runner.predict.threads import ThreadPool


class Runs(Enum):
    """Where the code of a method runs."""

    AWAITED = "on the event loop"
    AS_GENERATOR = "when its items are asked for"
    IN_THREAD = "in a thread"


@dataclass(frozen=True, slots=True)
class Step:
    """One method of a model, ready to be called."""

    name: str
    method: Callable[..., Any]
    takes: InputKind
    runs: Runs
    threads: ThreadPool

    async def run(self, inputs: Any, request: PredictRequest) -> Any:
        """Calls the method with what it takes. What a generator function gives is the generator, not yet started.

        Raises:
            ClientGone: Nobody waits for the result; the method was not called.
            BaseException: Whatever the method raises.
        """
        if await request.presence.is_gone():
            raise ClientGone(self.name)
        takes = self.takes
        arguments: tuple[Any, ...]
        if takes is InputKind.INPUTS_ONLY:
            arguments = (inputs,)
        elif takes is InputKind.INPUTS_AND_REQUEST:
            arguments = (inputs, request)
        elif takes is InputKind.REQUEST_ONLY:
            arguments = (request,)
        else:
            arguments = ()
        return await self.call(*arguments)

    async def call(self, *arguments: Any) -> Any:
        """Calls the method."""
        if self.runs is Runs.AWAITED:
            return await self.method(*arguments)
        if self.runs is Runs.AS_GENERATOR:
            return self.method(*arguments)
        result = await self.threads.submit(self.method, *arguments)
        # A decorator may hide that the method is a coroutine function.
        return await result if inspect.iscoroutine(result) else result


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the model has returned.

    Attributes:
        permit: Still held, and to be released by the one who serves the result; None when nothing is held.
    """

    result: Any
    permit: Permit | None = None


def make_step(name: str, method: Callable[..., Any], threads: ThreadPool) -> Step:
    """Looks at `method` once, so that no call has to.

    Raises:
        ModelDefinitionError: Its signature is none that Truss knows.
    """
    if inspect.iscoroutinefunction(method):
        runs = Runs.AWAITED
    elif inspect.isgeneratorfunction(method) or inspect.isasyncgenfunction(method):
        runs = Runs.AS_GENERATOR
    else:
        runs = Runs.IN_THREAD
    return Step(name, method, input_kind(method, name), runs, threads)


class Pipeline:
    """The three steps of a model that has `predict`."""

    def __init__(self, definition: ModelDefinition, threads: ThreadPool, permits: Permits) -> None:
        assert definition.predict is not None
        self._permits = permits
        self._preprocess, self._predict, self._postprocess = (
            None if method is None else make_step(name, method, threads)
            for name, method in (
                ("preprocess", definition.preprocess),
                ("predict", definition.predict),
                ("postprocess", definition.postprocess),
            )
        )

    @property
    def first(self) -> Step:
        """The step that gets what the client has sent."""
        first = self._preprocess or self._predict
        assert first is not None
        return first

    @property
    def is_body_parsed(self) -> bool:
        """False when no step takes anything but the request: then the body stays as it is."""
        steps = (self._preprocess, self._predict)
        return not all(step is None or step.takes is InputKind.REQUEST_ONLY for step in steps)

    async def run(self, inputs: Any, request: PredictRequest) -> Outcome:
        """Runs the steps. A generator and a StreamingResponse keep the permit until they are served.

        Raises:
            ClientGone: The client left before a step; it and those behind it were not run.
            UserCodeError: `postprocess` cannot take what `predict` has returned.
            BaseException: Whatever the model raises.
        """
        if self._preprocess is not None:
            inputs = await self._preprocess.run(inputs, request)
        assert self._predict is not None
        permit = await self._permits.acquire()
        is_kept = False
        try:
            result = await self._predict.run(inputs, request)
            if self._postprocess is None:
                is_kept = is_stream(result) or isinstance(result, StreamingResponse)
                return Outcome(result, permit if is_kept else None)
            _check_for_postprocess(result)
        finally:
            if not is_kept:
                permit.release()
        return Outcome(await self._postprocess.run(result, request))


def _check_for_postprocess(result: object) -> None:
    if is_stream(result):
        what, advice = "a generator", "Put all processing into `predict`."
    elif isinstance(result, Response):
        what, advice = "a response", "Let `postprocess` make the response, or leave it out."
    else:
        return
    # For the client an error like any other of the model's; the log says which.
    raise UserCodeError(
        ModelDefinitionError(f"`predict` returned {what}, so the model cannot have a `postprocess` method. {advice}")
    )
