"""The paths of a Truss server, and what each is for (truss.md section 5)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from http import HTTPStatus

from starlette.responses import JSONResponse, Response

from penstock_runner.model.definition import EXTRA_METHODS
from penstock_runner.predict.failures import CODE_CLIENT, ERROR_SOURCE, ModelMissing

MODEL_NAME = "model"
"""What every model is called on its own server."""
_MODELS = "/v1/models/"


class RefusedRequestError(Exception):
    """The request is for something that there is not. No fault of the model's: nothing is logged."""

    def __init__(self, status: int, detail: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail or HTTPStatus(status).phrase)
        self.status = status
        self.headers = headers or {}

    def response(self) -> Response:
        """Returns the answer."""
        headers = {"x-baseten-error-source": ERROR_SOURCE, "x-baseten-error-code": CODE_CLIENT, **self.headers}
        return JSONResponse({"error": str(self)}, self.status, headers)


class Endpoint(Enum):
    """What a path is for. The value of one for a method of the model is the method's name."""

    LIVE = "/"
    READY = "/v1/models/model"
    LOADED = "/v1/models/model/loaded"
    SCHEMA = "/v1/models/model/schema"
    METRICS = "/metrics/"
    PREDICT = "predict"
    CHAT_COMPLETIONS = "chat_completions"
    COMPLETIONS = "completions"
    EMBEDDINGS = "embeddings"
    MESSAGES = "messages"
    RESPONSES = "responses"


_ENDPOINTS = {
    ("GET", "/"): Endpoint.LIVE,
    ("GET", "/v1/models/model"): Endpoint.READY,
    ("GET", "/ping"): Endpoint.READY,
    ("GET", "/v1/models/model/loaded"): Endpoint.LOADED,
    ("GET", "/v1/models/model/schema"): Endpoint.SCHEMA,
    ("GET", "/metrics"): Endpoint.METRICS,
    ("GET", "/metrics/"): Endpoint.METRICS,
    ("POST", "/v1/models/model:predict"): Endpoint.PREDICT,
    ("POST", "/v1/models/model:predict_binary"): Endpoint.PREDICT,
    ("POST", "/invocations"): Endpoint.PREDICT,
    **{("POST", f"/v1/{name.replace('_', '/')}"): Endpoint(name) for name in EXTRA_METHODS},
}


def find_endpoint(method: str, path: str) -> Endpoint:
    """Returns what a request is for.

    Raises:
        ModelMissing: The path names another model than the one there is.
        RefusedRequestError: 404 for an unknown path, 405 for a path with another method.
    """
    endpoint = _ENDPOINTS.get((method, path))
    if endpoint is not None:
        return endpoint
    if path.startswith(_MODELS):
        rest = path.removeprefix(_MODELS)
        name = rest.partition("/")[0].partition(":")[0]
        if name and name != MODEL_NAME and f"{_MODELS}{MODEL_NAME}{rest.removeprefix(name)}" in _PATHS:
            raise ModelMissing(name)
    if path in _PATHS:
        raise RefusedRequestError(405, headers={"Allow": _PATHS[path]})
    raise RefusedRequestError(404)


_PATHS = {path: method for method, path in _ENDPOINTS}
"""The one method of each path."""
