"""truss.md section 5: the paths of the gateway, and those of a model's own server."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from penstock_testing.platform import Platform, running_platform
from penstock_testing.truss_conformance import ANSWER_SECONDS, JSON, MODELS, ModelDoor

Door = Callable[[str], ModelDoor]


@pytest.fixture(scope="module")
def only() -> Iterator[Platform]:
    """A platform with one model, which has the paths of a Truss server for itself."""
    with running_platform([MODELS / "openai_style"]) as running:
        yield running


@pytest.fixture
def server(only: Platform) -> ModelDoor:
    return ModelDoor(only.http.removeprefix("http://"))


@pytest.mark.parametrize("place", ["", "production/", "environments/production/"])
def test_predict_at_the_urls_of_the_gateway(door: Door, place: str) -> None:
    answer = door("sync-predict").call({"text": "a"}, endpoint=f"{place}predict")

    assert (answer.status, answer.json()) == (200, {"result": "A"})


def test_predict_of_a_deployment(platform: Platform, door: Door) -> None:
    (deployment,) = [each["id"] for each in platform.ready["deployments"] if each["name"] == "sync-predict"]

    assert door("sync-predict").call({"text": "a"}, endpoint=f"deployment/{deployment}/predict").status == 200


@pytest.mark.parametrize("place", ["development", "environments/staging", "deployment/nobody"])
def test_what_is_not_deployed_is_404(door: Door, place: str) -> None:
    assert door("sync-predict").call({}, endpoint=f"{place}/predict").status == 404


def test_an_unknown_model_is_404(door: Door) -> None:
    assert door("nobody").call({}).status == 404


@pytest.mark.parametrize(
    ("host", "endpoint"),
    [
        ("model-sync-predict.api.example.com", "/predict"),
        ("model-sync-predict.api.example.com", "/production/predict"),
        ("model-sync-predict.api.example.com", "/environments/production/predict"),
        ("model-sync-predict-production.api.example.com", "/predict"),
        ("Model-Sync-Predict.api.example.com:8000", "/predict"),
    ],
)
def test_predict_at_the_hosts_of_the_gateway(platform: Platform, host: str, endpoint: str) -> None:
    model = ModelDoor(platform.http.removeprefix("http://"), host=host)

    assert model.call({"text": "a"}, endpoint=endpoint).json() == {"result": "A"}


def test_every_answer_has_a_request_id(door: Door) -> None:
    answers = [door("sync-predict").call({}), door("failing").call({"kind": "raise"})]

    ids = [answer.headers["X-Baseten-Request-Id"] for answer in answers]
    assert all(re.fullmatch("[0-9a-zA-Z-]{16,}", each) for each in ids)
    assert len(set(ids)) == 2


def test_the_model_gets_the_request_id_that_its_client_gets(door: Door) -> None:
    answer = door("request-only").call({})
    given = door("request-only").call({}, headers={"X-Baseten-Request-Id": "mine"})

    assert ["x-baseten-request-id", answer.headers["X-Baseten-Request-Id"]] in answer.json()["headers"]
    assert ["x-baseten-request-id", "mine"] in given.json()["headers"]


def test_the_answer_tells_the_attempts(door: Door) -> None:
    assert door("sync-predict").call({}).headers["X-BASETEN-MODEL-PREDICTION-ATTEMPTS"] == "1"


@pytest.mark.parametrize("name", ["traceparent", "x-baseten-chain-request-id", "User-Agent", "Accept"])
def test_headers_that_truss_knows_reach_the_model(door: Door, name: str) -> None:
    answer = door("request-only").call({}, headers={name: "00-aaaa-bb-01"})

    assert [name.lower(), "00-aaaa-bb-01"] in answer.json()["headers"]


def test_only_post_predicts(door: Door) -> None:
    assert door("sync-predict").get("predict").status == 405


def test_the_paths_of_a_server_are_nobody_s_while_several_models_are_served(door: Door) -> None:
    assert door("sync-predict").call({}, endpoint="/v1/models/model:predict").status == 404


@pytest.mark.parametrize("path", ["v1/models/model", "v1/models/model/loaded", "v1/models/model/schema", "ping", ""])
def test_get_paths_of_a_server_are_reached_below_sync(door: Door, path: str) -> None:
    answer = door("pydantic-io").get(f"sync/{path}")

    assert (answer.status, answer.headers.get_content_type()) == (200, JSON)
    if path == "":
        assert answer.json() is True
    elif path == "v1/models/model":
        assert answer.json() == {}


@pytest.mark.parametrize("path", ["/v1/models/model:predict", "/v1/models/model:predict_binary", "/invocations"])
def test_a_single_model_predicts_at_the_paths_of_a_truss_server(server: ModelDoor, path: str) -> None:
    answer = server.call("?", endpoint=path)

    assert (answer.status, answer.json()) == (200, "predicted")


@pytest.mark.parametrize("path", ["/v1/models/model", "/v1/models/model/loaded", "/ping"])
def test_a_single_model_tells_that_it_is_ready(server: ModelDoor, path: str) -> None:
    assert server.get(path).status == 200


def test_a_single_model_serves_openai_paths(server: ModelDoor) -> None:
    answer = server.call({"model": "m"}, endpoint="/v1/chat/completions")

    assert answer.json() == {"object": "chat.completion", "model": "m", "path": "/v1/chat/completions"}
    assert server.call({"input": ["a"]}, endpoint="/v1/embeddings").status == 200
    assert server.call({}, endpoint="/v1/responses").status == 404


def test_a_single_model_without_schema(server: ModelDoor) -> None:
    assert server.get("/v1/models/model/schema").status == 404


def test_the_websocket_path_of_a_single_model(only: Platform) -> None:
    with connect(f"{only.edge}/v1/websocket", proxy=None) as connection, pytest.raises(ConnectionClosed):
        connection.recv(ANSWER_SECONDS)

    assert connection.close_code == 1003


def test_an_edge_refuses_a_body_that_is_too_large(door: Door) -> None:
    """The limit is 100 MiB; the announced length is enough to refuse."""
    answer = door("sync-predict").call(body=b"", headers={"Content-Length": str((100 << 20) + 1)})

    assert answer.status == 413
