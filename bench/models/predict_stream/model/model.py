from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

CHUNKS = 5
PAUSE_S = 0.01


class Model:
    async def predict(self, inputs: Any) -> AsyncGenerator[str, None]:
        yield "a part of the answer"
        for _ in range(CHUNKS - 1):
            await asyncio.sleep(PAUSE_S)
            yield "a part of the answer"
