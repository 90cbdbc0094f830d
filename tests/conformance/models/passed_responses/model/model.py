"""Makes its own responses: status, headers, media type and stream are the model's."""

import asyncio

from fastapi import Response
from fastapi.responses import JSONResponse, StreamingResponse


class Model:
    def __init__(self):
        self._is_open = False

    async def predict(self, inputs):
        kind = inputs["kind"]
        if kind == "png":
            return Response(b"\x89PNG", media_type="image/png", headers={"X-Seed": "7"})
        if kind == "created":
            response = JSONResponse({"id": 1}, status_code=201)
            response.set_cookie("seen", "yes")
            response.set_cookie("again", "no")
            return response
        if kind == "teapot":
            return JSONResponse({"tea": True}, status_code=418)
        if kind == "empty":
            return Response(status_code=204)
        if kind == "stream":
            return StreamingResponse(self._parts(inputs), media_type="text/csv", headers={"X-Rows": "3"})
        return {"open": self._is_open}

    async def _parts(self, inputs):
        self._is_open = True
        try:
            for row in range(3):
                yield f"{row},{row * row}\n"
                await asyncio.sleep(inputs.get("pause", 0))
        finally:
            self._is_open = False
