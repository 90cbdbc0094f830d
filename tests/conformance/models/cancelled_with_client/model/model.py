"""Is cancelled when its client leaves, because its config.yaml says so."""

import asyncio


class Model:
    def __init__(self):
        self._cancelled = 0
        self._started = 0

    async def predict(self, inputs):
        if inputs == "tell":
            return {"cancelled": self._cancelled, "started": self._started}
        self._started += 1
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self._cancelled += 1
            raise
