"""Streams from a sync generator; each item tells the thread that made it."""

import threading


class Model:
    def predict(self, inputs):
        for number in range(inputs["count"]):
            on_main = threading.current_thread() is threading.main_thread()
            yield f"{number} {on_main}\n"
