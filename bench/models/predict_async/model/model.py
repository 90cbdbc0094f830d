from __future__ import annotations

from typing import Any


class Model:
    async def predict(self, inputs: Any) -> Any:
        return inputs
