import fastapi


class Model:
    async def websocket(self, websocket: fastapi.WebSocket) -> None:
        try:
            while True:
                message = await websocket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                if message.get("text") is not None:
                    await websocket.send_text(message["text"])
                else:
                    await websocket.send_bytes(message["bytes"])
        except fastapi.WebSocketDisconnect:
            # The client left while an answer was on its way.
            pass
