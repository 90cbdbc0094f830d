"""Ctrl-C and its like, as events."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator


@contextlib.contextmanager
def caught_signals(stop: asyncio.Event, force: asyncio.Event) -> Iterator[None]:
    """The first signal sets `stop`, every later one `force`."""

    def on_signal() -> None:
        (force if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    caught = [signal.SIGINT, signal.SIGTERM]
    # nohup and the like: whoever started us wants us to outlive the terminal.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        caught.append(signal.SIGHUP)
    for number in caught:
        loop.add_signal_handler(number, on_signal)
    try:
        yield
    finally:
        for number in caught:
            loop.remove_signal_handler(number)
