"""One HTTP request to an ASGI app, in memory, with a client that can stall and leave."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Scope

from penstock.truss import TrussConfig, parse_config
from penstock_runner.model.definition import check_model
from penstock_runner.model.loaded import LoadedModel
from penstock_runner.predict.app import RequestApp
from penstock_runner.predict.disconnect import EXTENSION, DisconnectSignal

PREDICT_PATH = "/v1/models/model:predict"


@dataclass
class Answer:
    """What the client has got so far."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    parts: list[bytes] = field(default_factory=list)
    """The parts of the body, without the empty one that ends it."""
    is_complete: bool = False

    @property
    def body(self) -> bytes:
        return b"".join(self.parts)

    def json(self) -> Any:
        return json.loads(self.body)


class AsgiCall:
    """The server's and the client's side of one request.

    Args:
        body: In one part, or in several.
        tells: Whether the server sets a DisconnectSignal; if not, only `receive` tells of a disconnect.
    """

    def __init__(
        self,
        path: str = PREDICT_PATH,
        *,
        method: str = "POST",
        body: bytes | Sequence[bytes] = b"{}",
        headers: Mapping[str, str] | None = None,
        tells: bool = True,
    ) -> None:
        parts = [body] if isinstance(body, bytes) else list(body)
        self._parts = [
            {"type": "http.request", "body": part, "more_body": index < len(parts) - 1}
            for index, part in enumerate(parts)
        ]
        self._left = asyncio.Event()
        self.signal = DisconnectSignal()
        self.answer = Answer()
        self.got: asyncio.Queue[bytes] = asyncio.Queue()
        """The parts of the body as they come."""
        self.may_send = asyncio.Event()
        """Cleared: the client takes nothing."""
        self.may_send.set()
        self.scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "method": method,
            "path": path,
            "query_string": b"",
            "headers": [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()],
            "state": {},
            "extensions": {EXTENSION: self.signal} if tells else {},
        }

    async def run(self, app: ASGIApp) -> Answer:
        """Has `app` answer."""
        await app(self.scope, self.receive, self.send)
        return self.answer

    def leave(self) -> None:
        """The client disconnects."""
        self._left.set()
        if EXTENSION in self.scope["extensions"]:
            self.signal.set()

    async def receive(self) -> MutableMapping[str, Any]:
        """ASGI receive."""
        if self._parts:
            return self._parts.pop(0)
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """ASGI send."""
        await self.may_send.wait()
        if self._left.is_set():
            raise OSError("the client has left")
        assert not self.answer.is_complete
        if message["type"] == "http.response.start":
            assert self.answer.status == 0
            self.answer.status = message["status"]
            self.answer.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            return
        assert self.answer.status
        self.answer.is_complete = not message.get("more_body")
        body = message.get("body", b"")
        if body or not self.answer.is_complete:
            self.answer.parts.append(body)
            self.got.put_nowait(body)


def loaded(instance: object, model_file: Path = Path("/nowhere/model/model.py")) -> LoadedModel:
    """Makes a loaded model of an instance of a user's class."""
    definition = check_model(instance)
    return LoadedModel(instance=instance, websocket=definition.websocket, model_file=model_file, definition=definition)


def config(text: str = "") -> TrussConfig:
    """Reads a config.yaml."""
    return parse_config(text.encode() or b"{}", name_default="model")


def make_app(settings: str = "", /, **methods: Any) -> RequestApp:
    """Makes an app for a model with these methods; `settings` is its config.yaml."""
    return RequestApp(loaded(type("Model", (), methods)()), config(settings))


def ask(app: RequestApp, *args: Any, **options: Any) -> Answer:
    """Has an app answer one request, on a real loop."""

    async def main() -> Answer:
        return await AsgiCall(*args, **options).run(app)

    return asyncio.run(main())


async def echo(self: object, inputs: Any) -> Any:
    """A method that returns what it gets."""
    return inputs


async def generate(self: object, inputs: Any) -> AsyncIterator[str]:
    """A method that yields two words."""
    for word in ("one ", "two"):
        yield word
