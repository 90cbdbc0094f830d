"""The model.py of new models, one for each way to be called."""

from __future__ import annotations

WEBSOCKET_MODEL = '''\
"""A model that its clients talk to over a WebSocket.

Serve it:    penstock up --watch .     (a saved file is live at once)
Talk to it:  penstock call NAME        (from another terminal)
"""

import fastapi


class Model:
    def __init__(self, **kwargs):
        # kwargs: config, data_dir, secrets, environment, lazy_data_resolver. Ask only for what you need.
        self._answer = None

    def load(self):
        # Runs once per replica, before the first stream. Load your weights here: a saved file keeps them loaded.
        self._answer = str.upper

    async def websocket(self, websocket: fastapi.WebSocket):
        # Runs once per stream, and the stream is already accepted. It ends when this method returns.
        try:
            while True:
                text = await websocket.receive_text()  # or receive_bytes(), receive_json()
                await websocket.send_text(self._answer(text))  # change this: call your model
        except fastapi.WebSocketDisconnect:
            pass  # the client has left
'''

PREDICT_MODEL = '''\
"""A model that answers one request at a time.

Serve it:  penstock up --watch .                        (a saved file is live at once)
Ask it:    penstock call NAME '{"text": "hello"}'
"""


class Model:
    def __init__(self, **kwargs):
        # kwargs: config, data_dir, secrets, environment, lazy_data_resolver. Ask only for what you need.
        self._answer = None

    def load(self):
        # Runs once per replica, before the first request. Load your weights here: a saved file keeps them loaded.
        self._answer = str.upper

    def predict(self, model_input):
        # model_input is the JSON of the request. What you return is the JSON of the answer; `yield` streams it.
        text = str(model_input["text"])
        return {"text": self._answer(text)}  # change this: call your model
'''
