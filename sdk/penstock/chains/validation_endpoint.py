"""Rules for `run_remote` of a chainlet and `predict` of a model."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any, get_args, get_origin

from penstock.chains.description import Argument, EndpointDescription, EndpointKind
from penstock.chains.names import SELF_ARGUMENT
from penstock.chains.problems import Place, ProblemKind, Problems
from penstock.chains.validation_types import (
    RETURN_NAME,
    STREAM_TYPES,
    check_io_type,
    is_async_iterator,
    is_iterator,
    string_annotation,
)
from penstock.chains.websocket import WebSocketProtocol

_STREAM_NAMES = [kind.__name__ for kind in STREAM_TYPES]
_EMPTY = inspect.Parameter.empty
_NOT_BY_NAME = {
    inspect.Parameter.VAR_POSITIONAL: "*",
    inspect.Parameter.VAR_KEYWORD: "**",
}


class EndpointCheck:
    """Looks at one endpoint. What cannot be made out of a broken one is left out of the description."""

    def __init__(
        self, name: str, method: Callable[..., Any], place: Place, problems: Problems, *, may_converse: bool
    ) -> None:
        self._name = name
        self._signature = inspect.signature(method)
        self._place = place
        self._problems = problems
        self._may_converse = may_converse
        self._yields = inspect.isasyncgenfunction(method) or inspect.isgeneratorfunction(method)
        self._is_async = inspect.isasyncgenfunction(method) or inspect.iscoroutinefunction(method)

    def describe(self) -> EndpointDescription:
        """Checks the endpoint and returns what it is."""
        parameters = list(self._signature.parameters.values())
        self._check_self(parameters)
        self._warn_of_sync()
        parameters = parameters[1:]
        result = self._signature.return_annotation
        streams = [parameter for parameter in parameters if is_async_iterator(parameter.annotation)]
        is_websocket = any(parameter.annotation is WebSocketProtocol for parameter in parameters)
        is_conversation = bool(streams) and not is_websocket
        arguments = tuple(self._argument(parameter, is_conversation) for parameter in parameters)
        if is_conversation:
            kind, results = EndpointKind.CONVERSATION, self._conversation(streams, result)
        else:
            results = self._results(result)
            self._check_yields(result)
            kind = EndpointKind.STREAM if self._yields else EndpointKind.UNARY
        if is_websocket:
            self._check_websocket(parameters, result)
            kind, results = EndpointKind.WEBSOCKET, ()
        return EndpointDescription(
            name=self._name,
            kind=kind,
            is_async=self._is_async,
            arguments=arguments,
            result_types=results,
            is_tuple=kind is EndpointKind.UNARY and get_origin(result) is tuple,
        )

    def _check_self(self, parameters: list[inspect.Parameter]) -> None:
        if parameters and parameters[0].name == SELF_ARGUMENT:
            return
        got = f"`{parameters[0].name}` as first argument" if parameters else "function with no arguments"
        self._add(
            f"`{self._name}` must be a method, i.e. with `{SELF_ARGUMENT}` as first argument. Got {got}.",
            ProblemKind.TYPE_ERROR,
        )

    def _warn_of_sync(self) -> None:
        if self._is_async:
            return
        warnings.warn_explicit(
            f"`{self._name}` must be an async (coroutine) function in future releases. Replace "
            f"`def {self._name}(...)` with `async def {self._name}(...)`. Local testing and execution can be done with "
            f"`asyncio.run(my_chainlet.{self._name}(...))`. A function that is not async runs on a thread of its own "
            "for each request; threads share the interpreter lock, and not every library bears them.",
            DeprecationWarning,
            self._place.path,
            self._place.line or 1,
        )

    def _argument(self, parameter: inspect.Parameter, is_conversation: bool) -> Argument:
        name, annotation = parameter.name, parameter.annotation
        item_type = None
        if parameter.kind in _NOT_BY_NAME:
            self._add(
                f"Every argument of an endpoint needs a name of its own. Got `{_NOT_BY_NAME[parameter.kind]}{name}`."
            )
        elif parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            self._add(
                f"Arguments of endpoints are sent by name. Parameter `{name}` can only be given by position (`/`)."
            )
        if annotation is _EMPTY:
            self._add(f"Arguments of endpoints must have type annotations. Parameter `{name}` has no type annotation.")
        elif is_conversation and is_async_iterator(annotation):
            item_type = self._item_type(annotation, name)
        elif annotation is not WebSocketProtocol:
            check_io_type(annotation, name, self._place, self._problems)
        has_default = parameter.default is not _EMPTY
        return Argument(
            name=name,
            annotation=annotation,
            is_optional=has_default,
            default=parameter.default if has_default else None,
            item_type=item_type,
        )

    def _results(self, result: Any) -> tuple[Any, ...]:
        """Types of the result of an endpoint that is no conversation."""
        if result is inspect.Signature.empty:
            self._add(f"Return values of endpoints must be type annotated. Got:\n\t{self._written()}")
            return ()
        if isinstance(result, str):
            self._add(string_annotation(result, RETURN_NAME))
            return ()
        if result is WebSocketProtocol or WebSocketProtocol in get_args(result):
            self._add("Websockets cannot be used as output type.")
            return ()
        if is_iterator(result):
            return self._stream_type(result)
        if get_origin(result) is tuple:
            items = get_args(result)
            for index, item in enumerate(items):
                check_io_type(item, f"{RETURN_NAME}[{index}]", self._place, self._problems)
            return items
        check_io_type(result, RETURN_NAME, self._place, self._problems)
        return (result,)

    def _stream_type(self, result: Any) -> tuple[Any, ...]:
        items = get_args(result)
        if not items:
            self._add(f"Iterators must be annotated with type (one of {_STREAM_NAMES}).")
        elif items[0] not in STREAM_TYPES:
            self._add(
                "Streaming endpoints (containing `yield` statements) can only yield string or byte items. For "
                "streaming structured pydantic data, use `stream_writer` and `stream_reader` helpers."
            )
        return items

    def _check_yields(self, result: Any) -> None:
        if not self._yields:
            if is_iterator(result):
                self._add("If the endpoint returns an iterator (streaming), it must have `yield` statements.")
            return
        if not self._is_async:
            self._add("Streaming endpoints (containing `yield` statements) are only supported for async endpoints.")
        elif not is_async_iterator(result) and result is not inspect.Signature.empty and not isinstance(result, str):
            self._add(
                "If the endpoint is streaming (has `yield` statements), the return type must be an iterator (e.g. "
                f"`AsyncIterator[bytes]`). Got:\n\t{self._written()}"
            )

    def _check_websocket(self, parameters: list[inspect.Parameter], result: Any) -> None:
        if len(parameters) > 1:
            self._add("When using a websocket as input, no other arguments are allowed.")
        if result is not None:
            self._add("Websocket endpoints must have `None` as return type.")
        if not self._is_async:
            self._add("Websocket endpoints must be async.")
        if self._yields or is_iterator(result):
            self._add("Websocket endpoints cannot return iterators. Use the websocket itself to stream data.")

    def _conversation(self, streams: list[inspect.Parameter], result: Any) -> tuple[Any, ...]:
        """Checks an endpoint with an `AsyncIterator` among its arguments; returns the type of its result's items."""
        name = streams[0].name
        if not self._may_converse:
            self._add(
                f"Only chainlets can take streams: `{name}` is an `AsyncIterator`, and a model has no chainlet that "
                "calls it. Use a `ChainletBase`, or `WebSocketProtocol` for streams from clients."
            )
        if len(streams) > 1:
            others = ", ".join(f"`{stream.name}`" for stream in streams)
            self._add(f"Only one argument of an endpoint can be an `AsyncIterator`. Got {others}.")
        if any(stream.default is not _EMPTY for stream in streams):
            self._add(f"An `AsyncIterator` argument cannot have a default. Got `{name}`.")
        if not is_async_iterator(result):
            self._add(
                f"An endpoint that takes a stream (`{name}`) must return one, too, e.g. `AsyncIterator[str]`; for one "
                f"result, `yield` it as the only item. Got:\n\t{self._written()}"
            )
            return ()
        if not self._is_async:
            self._add("Endpoints that take a stream must be async.")
        elif not self._yields:
            self._add("If the endpoint returns an iterator (streaming), it must have `yield` statements.")
        item = self._item_type(result, RETURN_NAME)
        return () if item is None else (item,)

    def _item_type(self, annotation: Any, name: str) -> Any:
        items = get_args(annotation)
        if not items:
            self._add(
                f"Streams must be annotated with the type of their items, e.g. `AsyncIterator[bytes]`. Got `{name}`."
            )
            return None
        check_io_type(items[0], f"items of {name}", self._place, self._problems)
        return items[0]

    def _written(self) -> str:
        result = self._signature.return_annotation
        return f"{self._name}{self._signature} -> {'!MISSING!' if result is inspect.Signature.empty else result}"

    def _add(self, text: str, kind: ProblemKind = ProblemKind.IO_TYPE_ERROR) -> None:
        self._problems.add(text, kind, self._place)
