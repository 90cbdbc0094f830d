"""A user talks to a model: what is typed is sent, what comes is shown."""

from __future__ import annotations

import asyncio

from penstock.cli.call.payload import file_message
from penstock.cli.call.printer import Printer
from penstock.cli.call.prompt import Prompt
from penstock.cli.call.prompt_line import CloseStream, SendFile, SendText, Tell, read_prompt_line
from penstock.cli.command_error import CommandError
from penstock.client import Stream
from penstock.errors import PenstockError


class Talking:
    """One conversation. Use it once."""

    def __init__(self, stream: Stream, printer: Printer, prompt: Prompt) -> None:
        self._stream = stream
        self._printer = printer
        self._prompt = prompt
        self._is_over = False
        """The user has ended the stream."""

    async def run(self) -> None:
        """Returns when the user is done.

        Raises:
            ExceptionGroup: of a PenstockError, when the stream has ended.
        """
        async with asyncio.TaskGroup() as group:
            receiving = group.create_task(self._receive(), name="receive")
            await self._send()
            receiving.cancel()

    async def _send(self) -> None:
        async for line in self._prompt.lines():
            match read_prompt_line(line):
                case SendText(text):
                    await self._stream.send(text)
                case SendFile(path):
                    await self._send_file(path)
                case CloseStream(code, reason):
                    await self._end(code, reason)
                    return
                case Tell(text):
                    self._prompt.show(text)
        await self._end()

    async def _end(self, code: int = 1000, reason: str = "") -> None:
        self._is_over = True
        await self._stream.close(code, reason)

    async def _send_file(self, path: str) -> None:
        try:
            content = await asyncio.to_thread(file_message, path)
        except CommandError as exc:
            self._prompt.show(str(exc))
            return
        await self._stream.send(content)

    async def _receive(self) -> None:
        while True:
            try:
                message = await self._stream.recv()
            except PenstockError:
                if self._is_over:
                    return
                raise
            self._prompt.show(self._printer.text_of(message))
