"""Sends every message back; "about" asks for what it knows of the connection."""

from fastapi import WebSocket, WebSocketDisconnect


class Model:
    async def websocket(self, websocket: WebSocket):
        websocket.is_disconnected = lambda: False
        try:
            while True:
                message = await websocket.receive()
                if message["type"] == "websocket.disconnect":
                    return
                if message.get("text") == "about":
                    await websocket.send_json(
                        {
                            "headers": dict(websocket.headers),
                            "query": dict(websocket.query_params),
                            "path": websocket.url.path,
                            "cookies": websocket.cookies,
                            "client": websocket.client.host,
                            "states": [websocket.client_state.value, websocket.application_state.value],
                            "path_params": websocket.path_params,
                        }
                    )
                elif message.get("text") is not None:
                    await websocket.send_text(message["text"])
                else:
                    await websocket.send_bytes(message["bytes"])
        except WebSocketDisconnect:
            pass
