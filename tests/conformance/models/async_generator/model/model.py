"""Streams from an async generator: what the input says, item by item; then it may raise, stall or wait."""

import asyncio


class Model:
    def __init__(self):
        self._produced = 0

    async def predict(self, inputs):
        if inputs.get("tell"):
            return {"produced": self._produced}
        return self._stream(inputs)

    async def _stream(self, inputs):
        self._produced = 0
        for item in inputs.get("items", []):
            self._produced += 1
            yield item
        for number in range(inputs.get("count", 0)):
            self._produced += 1
            yield number.to_bytes(4, "big") * inputs.get("size", 1)
        end = inputs.get("then")
        if end == "raise":
            raise RuntimeError("the story ends here")
        if end == "stall":
            await asyncio.sleep(2.5)
            self._produced += 1
            yield "nobody reads this"
        if end == "wait":
            await asyncio.sleep(0.2)
            self._produced += 1
            yield "late"
