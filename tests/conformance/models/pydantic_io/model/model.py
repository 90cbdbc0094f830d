"""Pydantic in and out, under `from __future__ import annotations`, as many authors have it."""

from __future__ import annotations

from typing import Optional

from pydantic import BaseModel, Field


class Box(BaseModel):
    label: str
    score: float = Field(ge=0, le=1)


class ModelInput(BaseModel):
    prompt: str
    size: int = 512
    boxes: list[Box] = []


class ModelOutput(BaseModel):
    prompt: str
    area: int
    best: Optional[Box] = None


class Model:
    async def predict(self, request: ModelInput) -> ModelOutput:
        best = max(request.boxes, key=lambda box: box.score, default=None)
        return ModelOutput(prompt=request.prompt, area=request.size**2, best=best)
