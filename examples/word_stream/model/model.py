import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

from pydantic import BaseModel, Field


class Request(BaseModel):
    text: str
    stream: bool = False
    pause_s: float = Field(default=0.0, ge=0, le=1)


class Model:
    def load(self) -> None:
        self.requests = 0

    async def predict(self, request: Request) -> dict[str, Any] | AsyncIterator[str]:
        self.requests += 1
        words = request.text.split()
        if request.stream:
            return self.one_by_one(words, request.pause_s)
        return {"words": len(words), "most_common": Counter(words).most_common(3), "requests": self.requests}

    async def one_by_one(self, words: list[str], pause_s: float) -> AsyncIterator[str]:
        for word in words:
            yield word + "\n"
            await asyncio.sleep(pause_s)
