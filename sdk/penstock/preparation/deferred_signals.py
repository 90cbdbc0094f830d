"""Puts off signals that would end the work in the middle of a step that must not be left half done."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

_ENDING = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def deferred_signals() -> Iterator[None]:
    """Keeps SIGINT and SIGTERM until the end of the block, and raises there those that came.

    Their handlers raise exceptions at any line. Between the start of a process and the `try` that ends it, such an
    exception would leave the process running. Handlers run in the main thread only, so in others nothing is done.
    Handlers are put back, and children get none of it: what is caught is not caught after exec.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def keep(number: int, _frame: FrameType | None) -> None:
        came.append(number)

    handlers = {number: handler for number in _ENDING if callable(handler := signal.getsignal(number))}
    try:
        for number in handlers:
            signal.signal(number, keep)
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for late in dict.fromkeys(came):
            signal.raise_signal(late)
