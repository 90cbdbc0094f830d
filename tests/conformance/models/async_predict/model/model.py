"""Async `predict` with two permits. "meet" waits until so many calls are inside at once."""

import asyncio


class Model:
    def __init__(self):
        self._inside = 0
        self._met = 0
        self._most = 0
        self._came = asyncio.Condition()

    async def preprocess(self, inputs):
        return inputs

    async def predict(self, inputs):
        if not isinstance(inputs, dict) or "meet" not in inputs:
            return {"echo": inputs, "most": self._most}
        self._inside += 1
        self._met = max(self._met, self._inside)
        self._most = max(self._most, self._inside)
        try:
            return {"met": await asyncio.wait_for(self._meet(inputs["meet"]), inputs["within"])}
        except TimeoutError:
            return {"met": False}
        finally:
            self._inside -= 1
            if not self._inside:
                self._met = 0

    async def _meet(self, number):
        async with self._came:
            self._came.notify_all()
            return await self._came.wait_for(lambda: self._met >= number)
