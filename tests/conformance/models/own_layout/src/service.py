"""Everything stands elsewhere; and the transport says websocket, although there is only `predict`."""

from wording import WORD


class Service:
    def __init__(self, data_dir):
        self._data_dir = data_dir

    def predict(self, inputs):
        return [WORD, (self._data_dir / "word.txt").read_text().strip(), inputs]
