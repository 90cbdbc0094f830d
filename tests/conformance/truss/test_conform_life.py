"""truss.md sections 2.1, 2.6, 2.7 and 3: construction, loading, environment, secrets, packages, health."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from penstock_testing.platform import Platform
from penstock_testing.static_platform import wait_until
from penstock_testing.truss_conformance import ANSWER_SECONDS, ModelDoor

Door = Callable[[str], ModelDoor]

OF_A_TRUSS_SERVER = ["APP_HOME", "PORT", "INFERENCE_SERVER_PORT", "BT_MODEL_ID", "BT_MODEL_DEPLOYMENT_ID"]


@pytest.fixture
def injected(door: Door) -> dict[str, Any]:
    told: dict[str, Any] = door("injected").predict({"variables": ["GREETING", "VERBOSE", *OF_A_TRUSS_SERVER]})
    return told


def test_a_constructor_with_kwargs_gets_everything(injected: dict[str, Any]) -> None:
    assert injected["names"] == ["config", "data_dir", "environment", "lazy_data_resolver", "secrets"]


def test_a_constructor_gets_only_what_it_names(door: Door) -> None:
    assert door("every-key").predict("model_name") == "every-key"
    assert door("own-layout").predict(1) == ["bundled", "data", 1]


def test_config_is_the_whole_file_with_unknown_keys(injected: dict[str, Any]) -> None:
    config = injected["config"]

    assert config["description"] == "Shows what it was given."
    assert config["model_metadata"] == {"tags": ["conformance"]}
    assert config["unknown_key"] == {"kept": True}


def test_data_dir_is_relative_to_the_working_directory(injected: dict[str, Any]) -> None:
    assert (injected["data_dir"], injected["words"]) == ("data", ["one", "two", "three"])
    assert injected["in_its_own_folder"] is True


def test_the_environment_is_given_and_set_up_before_load(injected: dict[str, Any]) -> None:
    assert injected["environment"] == {"name": "production"}
    assert injected["environments"] == [{"name": "production"}]


def test_lazy_data_can_be_waited_for(injected: dict[str, Any]) -> None:
    assert injected["downloaded"] is True


def test_environment_variables_of_the_config_are_set(injected: dict[str, Any]) -> None:
    assert (injected["variables"]["GREETING"], injected["variables"]["VERBOSE"]) == ("hello", "true")


def test_variables_of_a_truss_server_are_set(platform: Platform, injected: dict[str, Any]) -> None:
    (deployment,) = [each["id"] for each in platform.ready["deployments"] if each["name"] == "injected"]
    variables = injected["variables"]

    assert variables["PORT"] == variables["INFERENCE_SERVER_PORT"] == "8080"
    assert variables["APP_HOME"]
    assert (variables["BT_MODEL_ID"], variables["BT_MODEL_DEPLOYMENT_ID"]) == ("injected", deployment)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("from_environment", "swordfish"),
        ("both", "from the environment"),
        ("with_default", "from config.yaml"),
    ],
)
def test_a_secret_comes_from_the_environment_before_the_default(door: Door, name: str, value: str) -> None:
    assert door("secrets").predict(name) == {"value": value}


@pytest.mark.parametrize(("name", "wording"), [("missing", "has no value"), ("undeclared", "is not declared")])
def test_a_secret_without_value_or_declaration_is_not_found(door: Door, name: str, wording: str) -> None:
    told = door("secrets").predict(name)

    assert told["error"] == "SecretNotFound"
    assert name in told["text"]
    assert wording in told["text"]


def test_secrets_have_a_length_and_cannot_be_iterated(door: Door) -> None:
    assert door("secrets").predict("length") == 4
    assert door("secrets").predict("iterate")["error"] == "NotImplementedError"


def test_own_code_is_imported_in_every_way(door: Door) -> None:
    assert door("packages").predict({"name": "Ada"}) == {
        "greeting": "hello Ada",
        "area": 9,
        "miles": 1.0,
        "names": ["neighbour"] * 3,
        "module": "model.model",
    }


def test_load_is_tried_again(platform: Platform, door: Door) -> None:
    assert door("retried-load").predict(None) == {"attempts": 2}
    assert "the hub did not answer" in platform.output()


def test_the_log_tells_of_load(platform: Platform) -> None:
    log = platform.output()

    assert "Executing model.load()..." in log
    assert "Completed model.load() execution in" in log


@pytest.mark.parametrize("state", ["sick", "raises"])
def test_a_model_that_is_not_healthy_is_not_ready(platform: Platform, door: Door, state: str) -> None:
    model = door("health")
    assert model.get("sync/v1/models/model").status == 200
    try:
        assert model.predict({"state": state}) == state
        answer = model.get("sync/v1/models/model")

        assert answer.status == 503
        assert model.get("sync/v1/models/model/loaded").status == 200
        wait_until(lambda: "Health check failed." in platform.output(), ANSWER_SECONDS, "the log tells of it")
    finally:
        model.predict({"state": "healthy"})
    assert model.get("sync/v1/models/model").status == 200
