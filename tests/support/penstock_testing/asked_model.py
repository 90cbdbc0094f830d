"""A model for requests that does what its input says, and remembers what it has seen of its clients."""

from __future__ import annotations

import asyncio
from pathlib import Path

from penstock_testing.raw_http import ANSWER_SECONDS, raw_http
from penstock_testing.static_platform import StaticPlatform

MODEL = "asked"
PREDICT = f"/model/{MODEL}/predict"

SLOTS = 32

_CONFIG = f"""
model_name: asked
runtime:
  predict_concurrency: {SLOTS}
penstock:
  autoscaling:
    max_concurrency: {SLOTS}
"""

_SOURCE = '''
import asyncio
import os

from fastapi import HTTPException, Request
from fastapi.responses import Response, StreamingResponse


class Model:
    def load(self):
        self.seen = {}

    async def predict(self, inputs, request: Request):
        if not isinstance(inputs, dict):
            return {"size": len(inputs)}
        return await getattr(self, inputs.get("do", "echo"))(inputs, request)

    async def echo(self, inputs, request):
        return inputs

    async def size(self, inputs, request):
        return {"size": len(inputs["data"])}

    async def large(self, inputs, request):
        return {"data": "y" * inputs["size"]}

    async def headers(self, inputs, request):
        return dict(request.headers)

    async def raised(self, inputs, request):
        raise ValueError("a secret of the model")

    async def refused(self, inputs, request):
        raise HTTPException(inputs["status"], "told by the model")

    async def cookies(self, inputs, request):
        response = Response(b"{}", media_type="application/json")
        response.headers.append("set-cookie", "a=1")
        response.headers.append("set-cookie", "b=2")
        response.headers.append("transfer-encoding", "gzip")
        response.headers.append("connection", "close")
        return response

    async def items(self, inputs, request):
        async def generate():
            for number in range(inputs["count"]):
                yield f"item {number} "
                await asyncio.sleep(inputs.get("pause", 0))

        return generate()

    async def blocks(self, inputs, request):
        async def generate():
            for _ in range(inputs["count"]):
                yield bytes(inputs["size"])
                await asyncio.sleep(0)

        return generate()

    async def events(self, inputs, request):
        async def generate():
            for number in range(3):
                yield f"data: {number}\\n\\n"

        return StreamingResponse(generate(), media_type="text/event-stream")

    async def watch(self, inputs, request):
        """Runs until the client is gone; `seen` tells another request."""
        self.seen[inputs["name"]] = "running"
        for _ in range(2000):
            if await request.is_disconnected():
                self.seen[inputs["name"]] = "gone"
                return
            await asyncio.sleep(0.01)

    async def watch_stream(self, inputs, request):
        async def generate():
            self.seen[inputs["name"]] = "running"
            for _ in range(2000):
                if await request.is_disconnected():
                    self.seen[inputs["name"]] = "gone"
                    return
                yield "x"
                await asyncio.sleep(0.01)

        return generate()

    async def hold(self, inputs, request):
        """Runs until there is a file of that name."""
        while not os.path.exists(inputs["until"]):
            await asyncio.sleep(0.01)
        return inputs

    async def ask(self, inputs, request):
        return {"seen": self.seen.get(inputs["name"])}

    async def chat_completions(self, inputs, request: Request):
        return {"choices": inputs.get("messages")}
'''


def write_asked_model(folder: Path) -> Path:
    """Writes the Truss into `folder`, and returns its directory."""
    truss = folder / "truss"
    (truss / "model").mkdir(parents=True)
    (truss / "config.yaml").write_text(_CONFIG)
    (truss / "model" / "model.py").write_text(_SOURCE)
    return truss


async def wait_seen(platform: StaticPlatform, name: str, expected: str) -> None:
    """Waits until the model has seen of `name` what is expected: "running" or "gone"."""
    async with asyncio.timeout(ANSWER_SECONDS), raw_http(platform.http) as client:
        while True:
            if (await client.ask({"do": "ask", "name": name}, path=PREDICT)).json() == {"seen": expected}:
                return
