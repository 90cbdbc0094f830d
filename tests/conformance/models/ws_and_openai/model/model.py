"""A conversation and an OpenAI path in one model; sessions are not counted by `predict_concurrency`."""


class Model:
    def __init__(self):
        self._open = 0

    async def websocket(self, websocket):
        self._open += 1
        try:
            async for _ in websocket.iter_text():
                await websocket.send_text(str(self._open))
        finally:
            self._open -= 1

    async def chat_completions(self, inputs):
        return {"open": self._open}
