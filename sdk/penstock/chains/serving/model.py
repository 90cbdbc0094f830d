"""The Truss model of a chainlet: what the generated model.py of its Truss directory consists of."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from starlette.requests import Request

from penstock.chains.description import ChainletDescription, EndpointKind
from penstock.chains.registry import describe
from penstock.chains.remote import trace
from penstock.chains.remote.encoding_types import types_of
from penstock.chains.serving import requests, schema, successors
from penstock.chains.serving.conversation import converse_back
from penstock.chains.serving.importing import import_chainlet
from penstock.chains.serving.injection import Injector
from penstock.chains.serving.served import Endpoint, Served
from penstock.chains.websocket import ChainWebSocket

if TYPE_CHECKING:
    from starlette.websockets import WebSocket


def make_model(module_name: str, class_name: str) -> type:
    """Imports the chainlet `class_name` of `module_name`, and returns the class `Model` that serves it.

    Raises:
        ChainsUsageError: there is no such chainlet, or it breaks a rule.
        BaseException: whatever the module raises.
    """
    model_file = sys._getframe(1).f_globals.get("__file__")
    description = describe(import_chainlet(module_name, class_name, model_file))
    assert description.endpoint is not None
    base: type[ChainletModel] = _KINDS[description.endpoint.kind]
    if base is UnaryModel and not description.endpoint.is_async:
        base = ThreadedModel
    chainlet: Any = description.chainlet
    bases: list[type] = [base]
    if description.has_health_check:
        bases.insert(0, _HasHealth)
    if callable(getattr(chainlet, "setup_environment", None)):
        bases.insert(0, _HasEnvironment)
    names: dict[str, Any] = {"__slots__": (), "description": description}
    if base is not WebSocketModel:
        names["endpoint"] = Endpoint(description.endpoint, types_of(description.endpoint))
    model = type("Model", tuple(bases), names)
    model.__module__ = str(sys._getframe(1).f_globals.get("__name__"))
    return model


class ChainletModel:
    """A Truss model around a chainlet, which `load` makes.

    What is served stands in a slot, the rest in the dictionary: objects that a hot reload makes of this class share the
    dictionary, and each has a chainlet of its own class.
    """

    __slots__ = ("__dict__", "__weakref__", "_served")

    description: ClassVar[ChainletDescription]
    endpoint: ClassVar[Endpoint]
    """Not there for a WebSocket, which has no types."""

    def __init__(
        self,
        config: Mapping[str, Any],
        data_dir: Path,
        secrets: Mapping[str, str],
        environment: Mapping[str, Any] | None = None,
        lazy_data_resolver: Any = None,
    ) -> None:
        self._data_dir = Path(data_dir).absolute()
        self._secrets = secrets
        self._environment = environment
        self._lazy_data_resolver = lazy_data_resolver
        self._predecessors: list[object] = []
        """Chainlets of earlier code whose end would be noticed."""

        self._served: Served

    def load(self) -> None:
        """Makes the chainlet, with stubs for its dependencies.

        Raises:
            ChainsRuntimeError: there are dependencies, and no platform that knows them.
            BaseException: whatever the chainlet's `__init__` raises.
        """
        if self._lazy_data_resolver is not None:
            self._lazy_data_resolver.block_until_download_complete()
        injector = self._injector()
        services = injector.services()
        stubs = injector.stubs(services)
        chainlet = self.description.chainlet(**injector.arguments(stubs, services))
        self._made(chainlet)
        self._served = Served(chainlet, successors.endpoint_of(chainlet, self.description), stubs)

    def penstock_schema(self) -> dict[str, Any] | None:
        """Returns what `/v1/models/model/schema` answers; the runner asks."""
        return schema.make_schema(self.description)

    def penstock_take_over(
        self, successor: Callable[[object, type], object], refusal: Callable[[str], Exception]
    ) -> None:
        """Makes the chainlet one of this class's code; the runner calls it on the new object of a hot reload.

        Args:
            successor: Returns an object of a class that shares the dictionary of an older one.
            refusal: Makes the error for what only a new process can do.

        Raises:
            Exception: that of `refusal`, or of `successor`. Nothing has changed then.
        """
        old: Served | None = getattr(self, "_served", None)
        if old is not None:
            self._served = successors.take_over(
                old, self.description, self._injector(), self._predecessors, successor, refusal
            )

    def _injector(self) -> Injector:
        return Injector(self.description, secrets=self._secrets, data_dir=self._data_dir, environment=self._environment)

    def _made(self, chainlet: object) -> None:
        """Called with the chainlet before it serves anything."""


class UnaryModel(ChainletModel):
    """`async def run_remote(self, …) -> T`."""

    __slots__ = ()

    async def predict(self, request: Request) -> object:
        """Answers a request."""
        return await requests.answer(self.endpoint, self._served.call, request)


class ThreadedModel(ChainletModel):
    """`def run_remote(self, …) -> T`."""

    __slots__ = ()

    def predict(self, request: Request) -> object:
        """Answers a request, in a thread of the runner's."""
        return requests.answer_in_thread(self.endpoint, self._served.call, request)


class StreamModel(ChainletModel):
    """`async def run_remote(self, …) -> AsyncIterator[T]`."""

    __slots__ = ()

    async def predict(self, request: Request) -> object:
        """Answers a request; the runner sends the items of the generator."""
        return await requests.answer_stream(self.endpoint, self._served.call, request)


class WebSocketModel(ChainletModel):
    """`async def run_remote(self, websocket: WebSocketProtocol) -> None`."""

    __slots__ = ()

    async def websocket(self, websocket: WebSocket) -> None:
        """Serves a client."""
        with trace.bound(websocket.headers):
            await self._served.call(ChainWebSocket(websocket))


class ConversationModel(ChainletModel):
    """`async def run_remote(self, items: AsyncIterator[T], …) -> AsyncIterator[U]`."""

    __slots__ = ()

    async def websocket(self, websocket: WebSocket) -> None:
        """Serves another chainlet."""
        await converse_back(self.endpoint, self._served.call, websocket)


_KINDS: dict[EndpointKind, type[ChainletModel]] = {
    EndpointKind.UNARY: UnaryModel,
    EndpointKind.STREAM: StreamModel,
    EndpointKind.WEBSOCKET: WebSocketModel,
    EndpointKind.CONVERSATION: ConversationModel,
}


class _HasHealth(ChainletModel):
    """The chainlet has `is_healthy`."""

    __slots__ = ()

    def is_healthy(self) -> Any:
        """Asks the chainlet; the runner calls it in a thread, and awaits what is awaitable."""
        return self._served.chainlet.is_healthy()


class _HasEnvironment(ChainletModel):
    """The chainlet has `setup_environment`."""

    __slots__ = ()

    def setup_environment(self, environment: Any) -> Any:
        """Passes the environment on. Before `load` there is no chainlet: it is told as soon as it is made."""
        self._environment = environment
        served: Served | None = getattr(self, "_served", None)
        return None if served is None else served.chainlet.setup_environment(environment)

    def _made(self, chainlet: Any) -> None:
        if self._environment is not None:
            successors.run_to_end(chainlet.setup_environment(dict(self._environment)))
