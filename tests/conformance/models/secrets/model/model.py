"""Looks secrets up when it is called, as Truss offers them."""


class Model:
    def __init__(self, secrets):
        self._secrets = secrets

    def predict(self, inputs):
        if inputs == "length":
            return len(self._secrets)
        try:
            if inputs == "iterate":
                return list(self._secrets)
            return {"value": self._secrets[inputs]}
        except Exception as error:
            return {"error": type(error).__name__, "text": str(error)}
