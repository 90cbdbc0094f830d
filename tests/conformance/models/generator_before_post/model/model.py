"""A mistake that Truss answers with 500: what `predict` streams cannot go through `postprocess`."""

from fastapi.responses import PlainTextResponse


class Model:
    async def predict(self, inputs):
        if inputs == "generator":
            return (str(number) for number in range(3))
        if inputs == "response":
            return PlainTextResponse("not for postprocess")
        return inputs

    async def postprocess(self, inputs):
        return {"post": inputs}
