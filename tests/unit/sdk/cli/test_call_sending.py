from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest

from penstock.cli.call.printer import Printer
from penstock.cli.call.sending import MESSAGES_WAITING_MAX, Sending
from penstock.cli.command_error import CommandError
from penstock.client import Client
from penstock.errors import PenstockError

ServeModel = Callable[..., str]


def send(
    url: str, messages: Iterator[str | bytes], *, timeout_s: float = 10.0, quiet_s: float = 0.05
) -> bool | BaseException:
    async def main() -> bool:
        async with Client(url) as client, client.stream("m") as stream:
            with Printer(None, indents=False) as printer:
                return await Sending(stream, printer, timeout_s=timeout_s, quiet_s=quiet_s).run(messages)

    return asyncio.run(main())


def test_replies_are_shown_until_nothing_more_comes(
    serve_model: ServeModel, capsys: pytest.CaptureFixture[str]
) -> None:
    assert send(serve_model(), iter(["a", "b"])) is True
    assert capsys.readouterr().out == "a\nb\n"


def test_a_model_that_says_nothing_is_given_up(serve_model: ServeModel) -> None:
    assert send(serve_model("silent"), iter(["a"]), timeout_s=0.1) is False


def test_the_end_of_the_stream_ends_a_source_that_goes_on(serve_model: ServeModel) -> None:
    blocked = threading.Event()

    def endless() -> Iterator[str]:
        yield "a"
        blocked.wait(20)

    with pytest.raises(ExceptionGroup) as ended:
        send(serve_model("closes"), endless())
    assert ended.group_contains(PenstockError)
    blocked.set()


def test_a_source_that_fails_is_told(serve_model: ServeModel) -> None:
    def broken() -> Iterator[str]:
        yield "a"
        raise CommandError("cannot read")

    with pytest.raises(CommandError, match="cannot read"):
        send(serve_model(), broken())


def test_a_source_is_not_read_far_ahead(serve_model: ServeModel) -> None:
    taken = 0

    def counted() -> Iterator[bytes]:
        nonlocal taken
        for _ in range(1000):
            taken += 1
            yield bytes(1 << 20)

    # The model reads nothing: what is under way fills the buffers between, and then reading must wait.
    with pytest.raises(TimeoutError):
        asyncio.run(_stalled(serve_model("stalls"), counted()))
    assert taken < 100 + MESSAGES_WAITING_MAX
    for reader in [thread for thread in threading.enumerate() if thread.name == "messages"]:
        reader.join(10)
        assert not reader.is_alive()


async def _stalled(url: str, messages: Iterator[str | bytes]) -> None:
    async with Client(url, close_timeout=0.1) as client, client.stream("m") as stream:
        with Printer(None, indents=False) as printer:
            async with asyncio.timeout(0.5):
                await Sending(stream, printer, timeout_s=1, quiet_s=1).run(messages)
