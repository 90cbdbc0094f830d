"""The Truss model that a chainlet is served by: how it is made, loaded and asked."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.websockets import WebSocket, WebSocketState

from penstock.chains.errors import ChainsUsageError
from penstock_runner.model.definition import InputKind, check_model, input_kind
from penstock_testing.asgi_call import ask, config, loaded
from penstock_testing.chainlet_serving import Serve

CONTEXT = """
class Asking(chains.ChainletBase):
    def __init__(self, context: chains.DeploymentContext = chains.depends_context()) -> None:
        self.context = context

    async def run_remote(self) -> str:
        return "x"
"""


def test_the_runner_takes_it_for_a_model_that_wants_the_request(serve: Serve) -> None:
    definition = check_model(serve(CONTEXT, "Asking"))

    assert definition.predict is not None
    assert input_kind(definition.predict, "predict") is InputKind.REQUEST_ONLY
    assert (definition.websocket, definition.is_healthy) == (None, None)


def test_the_context_has_secrets_data_and_environment(serve: Serve) -> None:
    model = serve(CONTEXT, "Asking", secrets={"key": "value"}, environment={"name": "production", "more": 1})

    context = model._served.chainlet.context
    assert context.secrets["key"] == "value"
    assert context.environment.name == "production"
    assert context.data_dir.is_absolute()
    assert context.data_dir.name == "data"
    assert context.chainlet_to_service == {}


def test_outside_of_environments_there_is_none(serve: Serve) -> None:
    assert serve(CONTEXT, "Asking")._served.chainlet.context.environment is None


def test_what_init_raises_fails_the_load(serve: Serve) -> None:
    model = serve(
        """
        class Failing(chains.ChainletBase):
            def __init__(self) -> None:
                raise OSError("no weights")

            async def run_remote(self) -> None: ...
        """,
        "Failing",
        load=False,
    )

    with pytest.raises(OSError, match="no weights"):
        model.load()


def test_weights_that_load_late_are_waited_for(serve: Serve) -> None:
    class Resolver:
        calls = 0

        def block_until_download_complete(self) -> None:
            self.calls += 1

    model = serve(CONTEXT, "Asking", load=False)
    model._lazy_data_resolver = Resolver()
    model.load()

    assert model._lazy_data_resolver.calls == 1


@pytest.mark.parametrize("prefix", ["", "async "], ids=["sync", "async"])
def test_the_chainlet_says_whether_it_is_healthy(serve: Serve, prefix: str) -> None:
    model = serve(
        f"""
        class Checked(chains.ChainletBase):
            healthy = False

            {prefix}def is_healthy(self) -> bool:
                return self.healthy

            async def run_remote(self) -> None: ...
        """,
        "Checked",
    )
    from penstock_runner.predict.app import RequestApp

    app = RequestApp(loaded(model), config())
    before = ask(app, "/v1/models/model", method="GET").status
    model._served.chainlet.healthy = True

    assert (before, ask(app, "/v1/models/model", method="GET").status) == (503, 200)


def test_the_environment_reaches_the_chainlet_when_it_is_made_and_when_it_changes(serve: Serve) -> None:
    model = serve(
        """
        class Set(chains.ChainletBase):
            def __init__(self) -> None:
                self.seen = []

            async def setup_environment(self, environment) -> None:
                self.seen.append(environment["name"])

            async def run_remote(self) -> None: ...
        """,
        "Set",
        load=False,
    )
    assert model.setup_environment({"name": "staging"}) is None
    model.load()
    asyncio.run(model.setup_environment({"name": "production"}))

    assert model._served.chainlet.seen == ["staging", "production"]


def test_a_websocket_chainlet_gets_the_wrapped_websocket_and_the_ids(serve: Serve) -> None:
    model = serve(
        """
        class Echo(chains.ChainletBase):
            async def run_remote(self, websocket: chains.WebSocketProtocol) -> None:
                from penstock.chains.remote import trace

                await websocket.send_text(await websocket.receive() + trace.current()["traceparent"])
        """,
        "Echo",
    )
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.receive", "text": "hi "}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "websocket", "headers": [(b"traceparent", b"T")], "extensions": {}}
    websocket = WebSocket(scope, receive, send)
    websocket.client_state = websocket.application_state = WebSocketState.CONNECTED

    asyncio.run(model.websocket(websocket))

    assert check_model(model).websocket is not None
    assert sent == [{"type": "websocket.send", "text": "hi T"}]


def test_a_chainlet_that_breaks_a_rule_is_no_model(serve: Serve) -> None:
    with pytest.raises(ChainsUsageError, match="please fix below"):
        serve("class Bad(chains.ChainletBase):\n    async def run_remote(self, x) -> int: ...\n", "Bad")
