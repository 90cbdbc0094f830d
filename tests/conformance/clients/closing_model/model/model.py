"""Closes as it is told ("close CODE REASON"), and tells how the last client closed ("last")."""

from __future__ import annotations

import fastapi


class Model:
    def __init__(self) -> None:
        self._last: list[object] = []

    async def websocket(self, websocket: fastapi.WebSocket) -> None:
        try:
            while True:
                command, _, rest = (await websocket.receive_text()).partition(" ")
                if command == "close":
                    code, _, reason = rest.partition(" ")
                    await websocket.close(int(code), reason)
                    return
                if command == "raise":
                    raise RuntimeError("as asked")
                if command == "last":
                    await websocket.send_json(self._last)
        except fastapi.WebSocketDisconnect as left:
            self._last = [left.code, left.reason]
