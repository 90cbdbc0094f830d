"""Fails in every way in which a `predict` can fail."""

import sys

import fastapi
from model.helper import deeper
from starlette.exceptions import HTTPException

OF_A_CHAINLET = {
    "exception_cls_name": "ValueError",
    "exception_module_name": None,
    "exception_message": "of a chainlet",
    "user_stack_trace": [{"filename": "chain.py", "lineno": 7, "name": "run_remote", "line": "raise ValueError(text)"}],
}


class Model:
    async def predict(self, inputs):
        kind = inputs["kind"]
        if kind == "raise":
            raise RuntimeError("the password is swordfish")
        if kind == "deep":
            deeper("the password is swordfish")
        if kind == "fastapi":
            raise fastapi.HTTPException(status_code=422, detail="too many tokens")
        if kind == "starlette":
            raise HTTPException(status_code=429, detail={"retry": 7}, headers={"Retry-After": "7"})
        if kind == "detail":
            raise fastapi.HTTPException(status_code=500, detail=OF_A_CHAINLET)
        if kind == "exit":
            sys.exit(3)
        if kind == "not json":
            return {"answer": object()}
        return "fine"
