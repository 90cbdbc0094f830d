"""Parts of a Truss configuration as objects."""

from __future__ import annotations

from penstock.chains.truss_config import (
    AcceleratorSpec,
    HealthChecks,
    HTTPOptions,
    ModelRepo,
    WebsocketOptions,
    WeightsSource,
    coerced,
    coerced_transport,
)
from penstock_testing.foreign_truss import foreign


def test_a_dump_is_what_stands_in_the_configuration() -> None:
    repo = ModelRepo(repo_id="a/b", allow_patterns=["*.json"])

    assert repo.to_dict() == {"repo_id": "a/b", "allow_patterns": ["*.json"]}
    assert repo.to_dict(verbose=True)["runtime_secret_name"] == "hf_access_token"


def test_keys_of_a_newer_truss_survive() -> None:
    assert ModelRepo.model_validate({"repo_id": "a", "shiny": 1}).to_dict() == {"repo_id": "a", "shiny": 1}


def test_gpus_are_read_and_written() -> None:
    assert [str(AcceleratorSpec.parse(text)) for text in ("L4", "H100:2", "H100:1")] == ["L4", "H100:2", "H100"]
    assert str(AcceleratorSpec()) == ""


def test_weights_know_the_hub() -> None:
    assert WeightsSource(source="hf://a/b", mount_location="/x").is_huggingface
    assert not WeightsSource(source="s3://a/b", mount_location="/x").is_huggingface


def test_objects_of_truss_become_ours_and_others_stay() -> None:
    theirs = foreign("HealthChecks", startup_threshold_seconds=100)
    other = foreign("Other", startup_threshold_seconds=100)
    ours = HealthChecks()

    assert coerced(theirs, HealthChecks) == HealthChecks(startup_threshold_seconds=100)
    assert coerced(other, HealthChecks) is other
    assert coerced(ours, HealthChecks) is ours
    assert coerced({"a": 1}, HealthChecks) == {"a": 1}


def test_transports_of_truss_become_ours() -> None:
    assert coerced_transport(foreign("HTTPOptions", kind="http")) == HTTPOptions()
    assert coerced_transport(foreign("WebsocketOptions", kind="websocket")) == WebsocketOptions()
    assert coerced_transport(None) is None
