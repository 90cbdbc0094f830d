"""Calls a method of a model from the event loop, whatever it does there: hang, raise, end the program."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    """How a call ended: with `value`, or with `error`."""

    value: object = None
    error: BaseException | None = None


class SoloCall:
    """One call at a time of one method: async ones are awaited, others run in a thread of their own.

    The wait for a call is bounded, the call is not, because nothing can end a thread: it goes on, and the next `ask`
    waits for the same one. The thread is a daemon, so it holds no process up.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._task: asyncio.Task[Answer] | None = None

    @property
    def is_running(self) -> bool:
        """Whether a call has not ended, or its answer has not been fetched."""
        return self._task is not None

    async def ask(self, method: Callable[..., object], *arguments: object, timeout_s: float) -> Answer | None:
        """Calls `method`, or waits on for the call that is under way; then `method` and `arguments` have no effect.

        Returns None when it has not ended within `timeout_s`. A cancellation ends the wait only. Not to be called
        again before it has returned.
        """
        if self._task is None:
            loop = asyncio.get_running_loop()
            self._task = loop.create_task(_answer(method, arguments, self._name), name=self._name)
        task = self._task
        await asyncio.wait({task}, timeout=timeout_s)
        if not task.done():
            return None
        self._task = None
        return Answer(error=asyncio.CancelledError()) if task.cancelled() else task.result()

    def cancel(self) -> None:
        """Cancels an async method; a thread is left to itself. The next `ask` calls anew."""
        if self._task is not None:
            self._task.cancel()
            self._task = None


async def _answer(method: Callable[..., object], arguments: tuple[object, ...], name: str) -> Answer:
    # SystemExit and KeyboardInterrupt, too: a task that raises one ends the whole loop.
    try:
        if inspect.iscoroutinefunction(method):
            value = await method(*arguments)
        else:
            answer = await _in_thread(method, arguments, name)
            if answer.error is not None:
                return answer
            value = answer.value
            if inspect.isawaitable(value):
                value = await value
    except asyncio.CancelledError:
        raise
    except BaseException as exc:
        return Answer(error=exc)
    return Answer(value)


def _in_thread(method: Callable[..., object], arguments: tuple[object, ...], name: str) -> asyncio.Future[Answer]:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Answer] = loop.create_future()

    def resolve(answer: Answer) -> None:
        if not future.done():
            future.set_result(answer)

    def work() -> None:
        try:
            answer = Answer(method(*arguments))
        except BaseException as exc:
            answer = Answer(error=exc)
        try:
            loop.call_soon_threadsafe(resolve, answer)
        except RuntimeError:
            # The loop is closed: nobody waits for the answer any more.
            pass

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(work,), name=name, daemon=True).start()
    return future
