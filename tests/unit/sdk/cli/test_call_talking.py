from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import cast

import pytest

from penstock.cli.call.printer import Printer
from penstock.cli.call.prompt import Prompt
from penstock.cli.call.talking import Talking
from penstock.client import Client
from penstock.errors import PenstockError

ServeModel = Callable[..., str]


class Typed:
    """A terminal on which lines are typed, each once what is shown has grown to its number."""

    def __init__(self, *lines: tuple[int, str]) -> None:
        self._lines = lines
        self.shown: list[str] = []
        self._grew = asyncio.Event()

    async def lines(self) -> AsyncIterator[str]:
        for after, line in self._lines:
            while len(self.shown) < after:
                self._grew.clear()
                await self._grew.wait()
            yield line

    def show(self, text: str) -> None:
        self.shown.append(text)
        self._grew.set()


def talk(url: str, *lines: tuple[int, str]) -> tuple[list[str], int | None]:
    async def main() -> tuple[list[str], int | None]:
        typed = Typed(*lines)
        async with asyncio.timeout(10), Client(url) as client, client.stream("m") as stream:
            with Printer(None, indents=False) as printer:
                await Talking(stream, printer, cast("Prompt", typed)).run()
            return typed.shown, stream.close_code

    return asyncio.run(main())


def test_lines_are_sent_and_replies_shown(serve_model: ServeModel, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\x00\xff")
    shown, code = talk(
        serve_model(),
        (0, "hello"),
        (1, "//slash"),
        (2, f"/binary {tmp_path / 'file'}"),
        (3, "/binary /no/such/file"),
        (4, "/nonsense"),
        (5, "/json [1]"),
        (6, "/close 4001 done"),
        (6, "never sent"),
    )
    assert shown[:3] == ["hello", "/slash", "[binary, 2 bytes: 00 ff]"]
    assert shown[3].startswith("cannot read /no/such/file")
    assert shown[4].startswith("/nonsense is no command")
    assert shown[5:] == ["[1]"]
    assert code == 4001


def test_the_end_of_the_input_ends_the_stream(serve_model: ServeModel) -> None:
    assert talk(serve_model(), (0, "hello"), (1, "again"))[1] == 1000


def test_a_model_that_closes_ends_the_talk(serve_model: ServeModel) -> None:
    with pytest.raises(ExceptionGroup) as ended:
        talk(serve_model("closes"), (0, "hello"), (99, "never typed"))
    assert ended.group_contains(PenstockError)
