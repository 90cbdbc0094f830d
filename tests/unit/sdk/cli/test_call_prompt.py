from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from penstock.cli.call import prompt
from penstock.cli.call.prompt import Prompt


def typed(*lines: str, ends: Callable[[], BaseException] = EOFError) -> Callable[[str], str]:
    left = list(lines)

    def read(_: str) -> str:
        if not left:
            raise ends()
        return left.pop(0)

    return read


def test_lines_come_until_the_end_of_the_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.input", typed("one", "two"))

    async def main() -> list[str]:
        return [line async for line in Prompt().lines()]

    assert asyncio.run(main()) == ["one", "two"]


def test_a_reply_leaves_what_is_being_typed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked, release = threading.Event(), threading.Event()

    def read(_: str) -> str:
        asked.set()
        release.wait(10)
        raise EOFError

    monkeypatch.setattr("builtins.input", read)

    async def main() -> None:
        there = Prompt()
        there.show("before")
        monkeypatch.setattr(there, "_buffer", lambda: "half a li")
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(read_all(there))
            await asyncio.to_thread(asked.wait, 10)
            there.show("reply")
            there.leave()
            release.set()
            reading.cancel()

    async def read_all(there: Prompt) -> None:
        async for _ in there.lines():
            pass

    asyncio.run(main())
    assert capsys.readouterr().out == f"before\n\r\x1b[Kreply\n{prompt.PROMPT}half a li\r\x1b[K"
