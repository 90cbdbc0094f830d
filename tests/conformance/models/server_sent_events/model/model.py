"""Server-sent events, as chat models stream their tokens."""

import json

from fastapi.responses import StreamingResponse


class Model:
    async def predict(self, inputs):
        return StreamingResponse(self._events(inputs["words"]), media_type="text/event-stream")

    async def _events(self, words):
        for word in words:
            yield f"data: {json.dumps({'token': word})}\n\n"
        yield "data: [DONE]\n\n"
