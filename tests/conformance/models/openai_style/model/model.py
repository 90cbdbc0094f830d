"""Serves OpenAI's paths beside `predict`; not all of them."""

import asyncio
import json

from fastapi import Request
from fastapi.responses import StreamingResponse


class Model:
    def __init__(self):
        self._go_on = asyncio.Event()

    async def predict(self, inputs):
        if inputs == "hold":
            await asyncio.wait_for(self._go_on.wait(), 20)
        return "predicted"

    async def chat_completions(self, inputs, request: Request):
        if inputs.get("stream"):
            return StreamingResponse(self._tokens(), media_type="text/event-stream")
        self._go_on.set()
        return {"object": "chat.completion", "model": inputs["model"], "path": request.url.path}

    async def completions(self, inputs):
        return (f"data: {json.dumps(word)}\n\n" for word in inputs["prompt"].split())

    def embeddings(self, inputs):
        return {"data": [{"embedding": [float(len(text))]} for text in inputs["input"]]}

    async def _tokens(self):
        for token in ("a", "b"):
            yield f"data: {token}\n\n"
        yield "data: [DONE]\n\n"
