"""`preprocess` is a generator that `predict` reads; `postprocess` streams what `predict` returned."""


class Model:
    def preprocess(self, inputs):
        for word in inputs["words"]:
            yield word.strip()

    async def predict(self, words):
        return [word.upper() for word in words]

    async def postprocess(self, words):
        for word in words:
            yield word + "\n"
