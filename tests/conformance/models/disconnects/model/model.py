"""Looks whether its client is still there, in both ways that Truss offers, and tells later what it saw."""

import asyncio
import threading
import time

from starlette.requests import Request


class Model:
    def __init__(self):
        self._seen = {}

    async def preprocess(self, inputs, request: Request):
        if inputs.get("do") == "leave before predict":
            self._seen["entered"] = True
            while not await request.is_disconnected():
                await asyncio.sleep(0.01)
            self._seen["left"] = True
        return inputs

    async def predict(self, inputs, request: Request):
        do = inputs["do"]
        if do == "tell":
            return self._seen
        if do == "leave before predict":
            self._seen["predicted"] = True
            return None
        if do == "poll":
            started = time.monotonic()
            self._seen["polling"] = True
            while not await request.is_disconnected():
                await asyncio.sleep(0.01)
                if time.monotonic() - started > 20:
                    return "never left"
            self._seen["poll"] = "gone"
        if do == "watch":
            return self._watch(request)
        if do == "ignore":
            self._seen["ignoring"] = True
            await asyncio.sleep(0.5)
            self._seen["ignored"] = "went on"
        return {"connected": not await request.is_disconnected()}

    def _watch(self, request):
        with request.state.watch_disconnect() as gone:
            assert isinstance(gone, threading.Event)
            yield "watching\n"
            self._seen["watch"] = "gone" if gone.wait(20) else "never left"
