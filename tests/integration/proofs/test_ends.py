"""Every end of a stream, through the whole chain, as Truss defines it; and what a model sees of its client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from penstock_testing.platform import Platform, running_platform
from penstock_testing.prover import Prover, answer, ordered, run

PREDICT_ONLY = """
class Model:
    def predict(self, inputs):
        return inputs
"""


async def end_of(client: ClientConnection) -> tuple[int, str]:
    """Code and reason of the close frame that the client gets."""
    with pytest.raises(ConnectionClosed) as caught:
        await client.recv()
    assert caught.value.rcvd is not None, "the connection ended without a close frame"
    return caught.value.rcvd.code, caught.value.rcvd.reason


def end_after(url: str, do: str, **arguments: object) -> tuple[int, str]:
    async def scenario() -> tuple[int, str]:
        async with ordered(url, do, **arguments) as client:  # type: ignore[arg-type]  # none of them is the case
            return await end_of(client)

    return run(scenario())


def test_handler_that_returns_ends_with_1000(url: str) -> None:
    assert end_after(url, "return") == (1000, "")


@pytest.mark.parametrize(
    ("code", "reason"),
    [(1000, "bye"), (1001, ""), (1008, "not you"), (1011, "my own trouble"), (3000, ""), (4321, "ünï ☃ " + "x" * 100)],
)
def test_close_of_the_model_reaches_the_client_verbatim(url: str, code: int, reason: str) -> None:
    assert end_after(url, "close", code=code, reason=reason) == (code, reason)


def test_exception_ends_with_1011_and_tells_the_client_nothing_of_it(platform: Platform, url: str) -> None:
    assert end_after(url, "raise") == (1011, "Internal Server Error (in model/chainlet).")

    log = platform.output()
    assert "RuntimeError: the model's own secret" in log
    assert "in do_raise" in log
    assert "penstock_runner/sessions.py" not in log, "frames of ours are no business of the model's author"


def test_message_of_the_other_kind_ends_with_1011_as_starlette_has_it(url: str) -> None:
    async def scenario() -> tuple[int, str]:
        async with ordered(url, "iterate") as client:
            await client.send(b"binary, where text is expected")
            return await end_of(client)

    assert run(scenario()) == (1011, "Internal Server Error (in model/chainlet).")


def test_model_without_websocket_ends_with_1003(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.py").write_text(PREDICT_ONLY)
    (tmp_path / "config.yaml").write_text("model_name: predictor\n")

    async def scenario(url: str) -> tuple[int, str]:
        async with connect(url) as client:
            return await end_of(client)

    with running_platform([tmp_path]) as platform:
        end = run(scenario(platform.websocket("predictor")))

    assert end == (1003, "WebSocket is not implemented on this deployment.")


@pytest.mark.parametrize(
    ("code", "reason"), [(1000, "thanks"), (1001, ""), (3999, "library"), (4999, "ünï ☃ " + "y" * 100)]
)
def test_close_of_the_client_reaches_the_model_verbatim(prover: Prover, url: str, code: int, reason: str) -> None:
    case = f"client closes with {code}"

    async def scenario() -> None:
        async with ordered(url, "echo", case) as client:
            await client.send("hello")
            assert await client.recv() == "hello"
            await client.close(code, reason)

    run(scenario())

    (note,) = prover.wait_notes(case)
    assert (note["what"], note["code"], note["reason"]) == ("disconnect", code, reason)


def test_iteration_ends_silently_when_the_client_closes(platform: Platform, prover: Prover, url: str) -> None:
    async def scenario() -> None:
        async with ordered(url, "iterate", "iteration") as client:
            for text in ("one", "", "two"):
                await client.send(text)

    before = platform.output().count("handler_failed")
    run(scenario())

    (note,) = prover.wait_notes("iteration")
    assert (note["what"], note["texts"]) == ("iterated", ["one", "", "two"])
    assert platform.output().count("handler_failed") == before


def test_last_words_of_a_model_reach_a_client_that_is_slow_to_read(url: str) -> None:
    async def scenario() -> tuple[str | bytes, tuple[int, str]]:
        async with ordered(url, "finish") as client:
            await client.send("go on")
            return await client.recv(), await end_of(client)

    assert run(scenario()) == ("last word", (1000, ""))


def described(url: str, **options: Any) -> dict[str, Any]:
    async def scenario() -> dict[str, Any]:
        async with connect(url, **options) as client:
            await client.send(json.dumps({"do": "describe"}))
            description: dict[str, Any] = await answer(client)
            return description

    return run(scenario())


def test_model_sees_query_headers_cookies_and_client(url: str) -> None:
    seen = described(
        f"{url}?language=de&empty=&language=fr&%C3%BC=%E2%98%83",
        additional_headers=[("X-One", "1"), ("X-Twice", "a"), ("X-Twice", "b"), ("Cookie", "session=abc; theme=dark")],
        user_agent_header="prover/1",
    )

    headers = [(name, value) for name, value in seen["headers"] if name.startswith("x-")]
    assert seen["query"] == [["language", "de"], ["empty", ""], ["language", "fr"], ["ü", "☃"]]
    assert [pair for pair in headers if pair[0] in ("x-one", "x-twice")] == [
        ("x-one", "1"),
        ("x-twice", "a"),
        ("x-twice", "b"),
    ]
    assert ["user-agent", "prover/1"] in seen["headers"]
    assert seen["cookies"] == {"session": "abc", "theme": "dark"}
    assert seen["client_host"] == "127.0.0.1"
    assert seen["path"] == "/v1/websocket"


def test_model_sees_the_subprotocols_that_were_offered(url: str) -> None:
    async def scenario() -> tuple[dict[str, Any], str | None]:
        offered = [Subprotocol("chat.v2"), Subprotocol("chat.v1")]
        async with connect(url, subprotocols=offered) as client:
            await client.send(json.dumps({"do": "describe"}))
            return await answer(client), client.subprotocol

    seen, chosen = run(scenario())

    assert seen["subprotocols"] == ["chat.v2", "chat.v1"]
    assert chosen is None, "a Truss server accepts without a subprotocol"


@pytest.mark.parametrize("path", ["/environments/production/websocket", "/production/websocket", "/websocket"])
def test_model_answers_at_each_of_its_paths(platform: Platform, path: str) -> None:
    async def scenario() -> Any:
        async with connect(f"{platform.edge}/model/prover{path}") as client:
            await client.send(json.dumps({"do": "facts"}))
            await client.send("?")
            return await answer(client)

    assert run(scenario())["pid"] in platform.pids("runner")


def test_ends_of_many_streams_at_once_are_not_mixed_up(url: str) -> None:
    async def one(number: int) -> tuple[int, str]:
        async with ordered(url, "close", code=4000 + number, reason=f"stream {number}") as client:
            return await end_of(client)

    async def everyone() -> list[tuple[int, str]]:
        ends: list[Coroutine[Any, Any, tuple[int, str]]] = [one(number) for number in range(200)]
        return list(await asyncio.gather(*ends))

    assert run(everyone()) == [(4000 + number, f"stream {number}") for number in range(200)]
