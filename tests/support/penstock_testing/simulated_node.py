"""Processes of a simulation: what runs in the context of one belongs to it, and ends with it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import Any

NODE: ContextVar[Node] = ContextVar("node")


class Node:
    """One process: everything that runs in its context belongs to it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_alive = True
        self.tasks: dict[asyncio.Task[Any], None] = {}
        self._context = copy_context()
        self._context.run(NODE.set, self)

    def spawn(self, coroutine: Coroutine[Any, Any, object], name: str) -> asyncio.Task[Any]:
        return asyncio.get_running_loop().create_task(coroutine, name=name, context=self._context.copy())

    def kill(self) -> None:
        """Its tasks end; what they do on their way out reaches nobody."""
        self.is_alive = False
        for task in list(self.tasks):
            task.cancel()


def make_task(
    loop: asyncio.AbstractEventLoop, coroutine: Any, *, name: str | None = None, context: Context | None = None
) -> asyncio.Task[Any]:
    node = NODE.get(None) if context is None else context.get(NODE)
    task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, name=name, context=context)
    if node is not None:
        node.tasks[task] = None
        task.add_done_callback(lambda done: node.tasks.pop(done, None))
    return task
