"""A stream to a model from the command line: opened, used, and its end told."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass

from penstock.cli import exit_status
from penstock.cli.call.printer import Printer
from penstock.cli.call.prompt import Prompt, terminal_restored
from penstock.cli.call.sending import Sending
from penstock.cli.call.talking import Talking
from penstock.cli.call.target import Target
from penstock.cli.command_error import CommandError, ReaderGoneError
from penstock.client import Client, Stream
from penstock.close_codes import EndCode
from penstock.errors import PenstockError

_NORMAL_CODES = (1000, 1005)

_Talk = Callable[[Stream], Coroutine[None, None, bool]]
"""Uses a stream until it is to be closed; returns False when no reply came in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """How a stream is opened, and when it ends."""

    target: Target
    url: str
    """Of the edge; its scheme says whether the stream goes over WebSocket or gRPC."""
    headers: Sequence[tuple[str, str]]
    timeout_s: float
    """For the first reply after the last message."""
    quiet_s: float
    """Time without a reply after which everything is taken to be said."""

    def run(self, messages: Iterator[str | bytes], printer: Printer) -> int:
        """Sends all messages, and shows the replies until the model closes or nothing more comes.

        Raises:
            CommandError: The stream cannot be opened, ends with an error, or no reply comes in time.
        """

        def talk(stream: Stream) -> Coroutine[None, None, bool]:
            return Sending(stream, printer, timeout_s=self.timeout_s, quiet_s=self.quiet_s).run(messages)

        return asyncio.run(self._open(talk))

    def run_prompt(self, printer: Printer) -> int:
        """Lets the user talk to the model; raises as `run` does."""

        async def talk(stream: Stream) -> bool:
            prompt = Prompt()
            try:
                await Talking(stream, printer, prompt).run()
            finally:
                prompt.leave()
            return True

        with terminal_restored():
            return asyncio.run(self._open(talk, tells_end=True))

    def _stream(self, client: Client) -> Stream:
        target = self.target
        if target.is_chain and not self.url.startswith("grpc"):
            return client.stream(path=target.websocket_path, headers=self.headers)
        return client.stream(
            target.name, environment=target.environment, deployment=target.deployment, headers=self.headers
        )

    async def _open(self, talk: _Talk, *, tells_end: bool = False) -> int:
        try:
            async with Client(self.url) as client:
                stream = self._stream(client)
                async with stream:
                    if tells_end:
                        print(f"connected to {self.target.name}; /help tells more, Ctrl-D ends", file=sys.stderr)
                    was_answered = await _use(stream, talk)
        except PenstockError as exc:
            status = exit_status.NOT_FOUND if exc.code == EndCode.NOT_FOUND else exit_status.FAILED
            raise CommandError(str(exc), status) from None
        except ValueError as exc:
            raise CommandError(str(exc), exit_status.USAGE) from None
        if not was_answered:
            raise CommandError(
                f"no reply within {self.timeout_s:g} s; give it more with --timeout", exit_status.TIMED_OUT
            )
        return _tell_end(stream.close_code, stream.close_reason or "", always=tells_end)


async def _use(stream: Stream, talk: _Talk) -> bool:
    was_answered = True
    problem: Exception | None = None
    try:
        was_answered = await talk(stream)
        await stream.close()
    except* PenstockError:
        # How the stream ended stands in it.
        pass
    except* (CommandError, ReaderGoneError) as broken:
        problem = broken.exceptions[0]
    if problem is not None:
        raise problem
    return was_answered


def _tell_end(code: int | None, reason: str, *, always: bool) -> int:
    text = f"the stream ended with {code}" + (f": {reason}" if reason else "")
    if code not in _NORMAL_CODES:
        raise CommandError(text)
    if always or reason:
        print(text, file=sys.stderr)
    return exit_status.OK
