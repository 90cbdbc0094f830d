"""The first model that everybody writes: `load` and a sync `predict`."""

import threading


class Model:
    def __init__(self, **kwargs):
        self._model = None

    def load(self):
        self._model = str.upper

    def predict(self, model_input):
        if model_input == "thread":
            return {"on_main_thread": threading.current_thread() is threading.main_thread()}
        if isinstance(model_input, dict) and "text" in model_input:
            return {"result": self._model(model_input["text"])}
        return model_input
