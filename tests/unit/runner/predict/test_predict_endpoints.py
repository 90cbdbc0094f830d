"""The paths of a Truss server (truss.md section 5)."""

from __future__ import annotations

import json

import pytest

from penstock_runner.predict.endpoints import Endpoint, RefusedRequestError, find_endpoint
from penstock_runner.predict.failures import ModelMissing


@pytest.mark.parametrize(
    ("method", "path", "endpoint"),
    [
        ("GET", "/", Endpoint.LIVE),
        ("GET", "/ping", Endpoint.READY),
        ("GET", "/v1/models/model", Endpoint.READY),
        ("GET", "/v1/models/model/loaded", Endpoint.LOADED),
        ("GET", "/v1/models/model/schema", Endpoint.SCHEMA),
        ("POST", "/v1/models/model:predict", Endpoint.PREDICT),
        ("POST", "/v1/models/model:predict_binary", Endpoint.PREDICT),
        ("POST", "/invocations", Endpoint.PREDICT),
        ("POST", "/v1/chat/completions", Endpoint.CHAT_COMPLETIONS),
        ("POST", "/v1/completions", Endpoint.COMPLETIONS),
        ("POST", "/v1/embeddings", Endpoint.EMBEDDINGS),
        ("POST", "/v1/messages", Endpoint.MESSAGES),
        ("POST", "/v1/responses", Endpoint.RESPONSES),
    ],
)
def test_every_path_of_a_truss_server_is_known(method: str, path: str, endpoint: Endpoint) -> None:
    assert find_endpoint(method, path) is endpoint


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/v1/models/other:predict"), ("GET", "/v1/models/other"), ("GET", "/v1/models/models/schema")],
)
def test_another_model_is_missing(method: str, path: str) -> None:
    with pytest.raises(ModelMissing) as caught:
        find_endpoint(method, path)

    assert str(caught.value) in ("other", "models")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/v1/models/", 404),
        ("GET", "/v1/models/other/nothing", 404),
        ("POST", "/v1/models/model:destroy", 404),
        ("GET", "/v1/models/model:predict", 405),
        ("POST", "/", 405),
    ],
)
def test_what_there_is_not_is_refused(method: str, path: str, status: int) -> None:
    with pytest.raises(RefusedRequestError) as caught:
        find_endpoint(method, path)

    assert caught.value.status == status


def test_a_refusal_reads_like_any_other_error() -> None:
    with pytest.raises(RefusedRequestError) as caught:
        find_endpoint("GET", "/v1/models/model:predict")
    response = caught.value.response()

    assert json.loads(bytes(response.body)) == {"error": "Method Not Allowed"}
    assert response.headers["allow"] == "POST"
    assert (response.headers["x-baseten-error-source"], response.headers["x-baseten-error-code"]) == ("04", "700")
