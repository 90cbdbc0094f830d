"""Counts how often it was loaded; a test changes its code while it runs."""

from model.wording import WORD


class Model:
    def __init__(self):
        self._loads = 0

    def load(self):
        self._loads += 1

    def predict(self, inputs):
        return {"word": WORD, "loads": self._loads}
