"""An event loop on a thread of its own, for calls by code that has no loop."""

from __future__ import annotations

import asyncio
import threading

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None


def background_loop() -> asyncio.AbstractEventLoop:
    """Returns the process's; it runs until the process ends. Any thread."""
    global _loop
    with _lock:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            threading.Thread(target=_run, args=(_loop,), name="penstock-chain-calls", daemon=True).start()
        return _loop


def _run(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        loop.close()


def stop_background_loop(timeout_s: float = 5.0) -> None:
    """Ends the loop and closes what lives on it; background_loop makes another one when it is asked again."""
    global _loop
    with _lock:
        loop, _loop = _loop, None
    if loop is None:
        return
    asyncio.run_coroutine_threadsafe(loop.shutdown_asyncgens(), loop).result(timeout_s)
    loop.call_soon_threadsafe(loop.stop)
