"""Does what the first message of a stream asks for, and notes in a file how its streams ended.

The first message is {"do": NAME, "case": CASE, …}; the method `do_NAME` gets the rest by name.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections import defaultdict
from typing import Any

import fastapi


class Model:
    def __init__(self) -> None:
        self._progress: dict[str, int] = defaultdict(int)
        self._gates: dict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def websocket(self, websocket: fastapi.WebSocket) -> None:
        order: dict[str, Any] = await websocket.receive_json()
        case = order.pop("case", "")
        try:
            await getattr(self, f"do_{order.pop('do')}")(websocket, case=case, **order)
        except asyncio.CancelledError:
            self._note(case, "cancelled")
            raise

    def _note(self, case: str, what: str, **facts: object) -> None:
        # The clock is the machine's, so that tests can compare it with theirs.
        line = {"case": case, "what": what, "at": time.monotonic(), **facts}
        with open(os.environ["PROVER_FILE"], "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    async def do_echo(self, websocket: fastapi.WebSocket, case: str) -> None:
        """Sends everything back until the client leaves."""
        while True:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                self._note(case, "disconnect", code=message.get("code"), reason=message.get("reason") or "")
                return
            try:
                if message.get("text") is not None:
                    await websocket.send_text(message["text"])
                else:
                    await websocket.send_bytes(message["bytes"])
            except fastapi.WebSocketDisconnect:
                # The next receive tells how the client left.
                pass

    async def do_hold(self, websocket: fastapi.WebSocket, case: str) -> None:
        """Waits for something that never comes, and neither sends nor receives."""
        await websocket.send_text("holding")
        await asyncio.Event().wait()

    async def do_block(self, websocket: fastapi.WebSocket, case: str, seconds: float) -> None:
        """Stops the event loop, as a model does that computes in its handler; then echoes."""
        await websocket.send_text("blocking")
        await asyncio.to_thread(lambda: None)
        threading.Event().wait(seconds)
        await self.do_echo(websocket, case)

    async def do_finish(self, websocket: fastapi.WebSocket, case: str) -> None:
        """Returns after the next message, with a last word."""
        await websocket.receive()
        await websocket.send_text("last word")
        self._note(case, "finished")

    async def do_facts(self, websocket: fastapi.WebSocket, case: str) -> None:
        """Answers every message with what this process is and holds."""
        async for _ in websocket.iter_text():
            await websocket.send_json({"pid": os.getpid(), "tasks": len(asyncio.all_tasks()), **self._progress})

    async def do_flood(self, websocket: fastapi.WebSocket, case: str, count: int, size: int) -> None:
        """Sends `count` numbered messages of `size` bytes as fast as it may."""
        for number in range(count):
            await websocket.send_bytes(number.to_bytes(4) * (size // 4))
            self._progress[case] = number + 1

    async def do_gated(self, websocket: fastapi.WebSocket, case: str) -> None:
        """Takes nothing until its gate is open; then counts numbered messages until one says "done"."""
        await websocket.send_text("closed")
        await self._gates[case].wait()
        while True:
            message = await websocket.receive()
            if message.get("text") == "done":
                await websocket.send_json({"received": self._progress[case]})
                return
            data = message["bytes"]
            assert data == self._progress[case].to_bytes(4) * (len(data) // 4), "out of order"
            self._progress[case] += 1

    async def do_open_gate(self, websocket: fastapi.WebSocket, case: str) -> None:
        self._gates[case].set()

    async def do_send(self, websocket: fastapi.WebSocket, case: str, size: int) -> None:
        """Sends one message of `size` bytes."""
        await websocket.send_bytes(bytes(size))

    async def do_receive(self, websocket: fastapi.WebSocket, case: str) -> None:
        """Answers every binary message with its size."""
        async for data in websocket.iter_bytes():
            await websocket.send_text(str(len(data)))

    async def do_return(self, websocket: fastapi.WebSocket, case: str) -> None:
        return

    async def do_close(self, websocket: fastapi.WebSocket, case: str, code: int, reason: str) -> None:
        await websocket.close(code, reason)

    async def do_raise(self, websocket: fastapi.WebSocket, case: str) -> None:
        raise RuntimeError("the model's own secret")

    async def do_iterate(self, websocket: fastapi.WebSocket, case: str) -> None:
        """Notes what the loop over texts has brought, once it has ended by itself."""
        texts = [text async for text in websocket.iter_text()]
        self._note(case, "iterated", texts=texts)

    async def do_describe(self, websocket: fastapi.WebSocket, case: str) -> None:
        """Answers with what the model sees of the request."""
        await websocket.send_json(
            {
                "query": list(websocket.query_params.multi_items()),
                "headers": [[name.lower(), value] for name, value in websocket.headers.items()],
                "cookies": dict(websocket.cookies),
                "subprotocols": websocket.scope["subprotocols"],
                "client_host": websocket.client.host if websocket.client else None,
                "path": websocket.url.path,
            }
        )
