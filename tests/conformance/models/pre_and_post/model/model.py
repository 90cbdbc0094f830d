"""All three steps, each of another kind: async, sync, and sync again."""


class Model:
    async def preprocess(self, inputs):
        return {"steps": ["preprocess"], "value": inputs["value"] + 1}

    def predict(self, inputs):
        if inputs["value"] < 0:
            raise ValueError(f"negative: {inputs['value']}")
        return {"steps": [*inputs["steps"], "predict"], "value": inputs["value"] * 10}

    def postprocess(self, inputs):
        return {"steps": [*inputs["steps"], "postprocess"], "value": inputs["value"] - 1}
