"""Does with its connection what the client says, and remembers how it ended."""

import fastapi
from starlette.websockets import WebSocketDisconnect


class Model:
    def __init__(self):
        self._log = []

    async def websocket(self, ws):
        command = await ws.receive_json()
        try:
            await getattr(self, "_" + command.pop("do"))(ws, **command)
        except BaseException as error:
            self._log.append([type(error).__name__, str(error)])
            raise

    async def _return(self, ws):
        return "ignored"

    async def _close(self, ws, code=1000, reason=None):
        await ws.close(code, reason)

    async def _close_and_raise(self, ws):
        await ws.close(4001, "mine")
        raise RuntimeError("too late")

    async def _raise(self, ws):
        raise RuntimeError("the password is swordfish")

    async def _http_exception(self, ws):
        raise fastapi.HTTPException(status_code=403, detail="not you")

    async def _accept(self, ws):
        await ws.accept()

    async def _text(self, ws):
        await ws.receive_text()

    async def _bytes(self, ws):
        await ws.receive_bytes()

    async def _json(self, ws, mode="text"):
        await ws.send_json(await ws.receive_json(mode), mode)

    async def _iterate(self, ws):
        async for text in ws.iter_text():
            await ws.send_text(text.upper())
        self._log.append(["iterated", ""])

    async def _receive_again(self, ws):
        try:
            await ws.receive_text()
        except WebSocketDisconnect as left:
            self._log.append(["left", f"{left.code} {left.reason}"])
        await ws.receive()

    async def _send_after_close(self, ws):
        await ws.close()
        await ws.send_text("too late")

    async def _wait(self, ws):
        await ws.receive_text()

    async def _log_so_far(self, ws):
        await ws.send_json(self._log)

    async def _object(self, ws):
        await ws.send_json({"text": "Grüße, 世界", "numbers": [1, 2]})

    async def _big(self, ws, size):
        await ws.send_bytes(b"x" * size)
        await ws.receive()
