"""Threads for the synchronous code of a model, so that it does not hold up the event loop.

Not the executor of the standard library: its threads are joined when the process ends, so one call that hangs would
keep the process; and a cancelled await of it returns at once, although the thread still works with the GPU.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any, TypeVar

SPARE_THREADS = 40
"""Threads besides those of `predict`, for preprocess, postprocess and health. As many as other Truss servers have for
everything together."""
PREDICT_THREADS_MAX = 256
"""Upper end of the threads for `predict`. With more permits than that, calls of sync methods wait for a thread."""

_T = TypeVar("_T")


class _Result(asyncio.Future[Any]):
    """What a thread will return. It cannot be cancelled: a task that is cancelled while it awaits this goes on waiting
    until the thread is done, and gets its CancelledError then."""

    def cancel(self, msg: Any | None = None) -> bool:
        return False


class ThreadPool:
    """Runs functions in threads, of which it starts as many as are needed at one time, up to `threads_max`.

    Beyond that functions wait in the order in which they came. Each belongs to a request that holds a slot of the
    replica, so the slots bound how many can wait. Belongs to one event loop. The threads are daemons: they never
    keep the process.
    """

    def __init__(self, threads_max: int) -> None:
        self._threads_max = threads_max
        self._jobs: queue.SimpleQueue[tuple[_Result, Context, Callable[..., Any], tuple[Any, ...]]]
        self._jobs = queue.SimpleQueue()
        self._threads = 0
        self._unfinished = 0

    @property
    def threads(self) -> int:
        """Threads that were started; idle ones stay."""
        return self._threads

    def submit(self, call: Callable[..., _T], *args: Any, context: Context | None = None) -> asyncio.Future[_T]:
        """Has a thread run `call(*args)`, in a copy of the caller's context or in `context`.

        The future cannot be cancelled: whoever is cancelled while awaiting it gets CancelledError when the thread is
        done. Until then the thread may use what the caller holds. The future fails with what `call` raises, and with
        RuntimeError for a StopIteration, which cannot pass through a coroutine.
        """
        result = _Result(loop=asyncio.get_running_loop())
        self._unfinished += 1
        if self._unfinished > self._threads < self._threads_max:
            self._threads += 1
            threading.Thread(target=self._work, name=f"penstock-model-{self._threads}", daemon=True).start()
        self._jobs.put((result, context or copy_context(), call, args))
        return result

    def _work(self) -> None:
        while True:
            result, context, call, args = self._jobs.get()
            value: Any = None
            error: BaseException | None = None
            try:
                value = context.run(call, *args)
            except StopIteration as exc:
                error = RuntimeError("the function raised StopIteration")
                error.__cause__ = exc
            except BaseException as exc:
                error = exc
            try:
                result.get_loop().call_soon_threadsafe(self._finish, result, value, error)
            except RuntimeError:
                # The loop is closed; nobody waits any more.
                return
            del result, context, call, args, value, error  # an idle thread keeps nothing of the last call alive

    def _finish(self, result: _Result, value: Any, error: BaseException | None) -> None:
        self._unfinished -= 1
        if error is None:
            result.set_result(value)
        else:
            result.set_exception(error)


def threads_for(predict_concurrency: int) -> int:
    """Returns how many threads a model needs, so that a call with a permit never waits for one."""
    return min(predict_concurrency, PREDICT_THREADS_MAX) + SPARE_THREADS
