"""Is as healthy as it is told to be."""


class Model:
    def __init__(self):
        self._state = "healthy"

    async def predict(self, inputs):
        self._state = inputs.get("state", self._state)
        return self._state

    def is_healthy(self):
        if self._state == "raises":
            raise RuntimeError("no pulse")
        return self._state == "healthy"
