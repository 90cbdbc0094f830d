from __future__ import annotations

from penstock.cli.push.unknown_keys import unknown_keys
from penstock.truss import parse_config


def found(config: str) -> list[str]:
    return [problem.key for problem in unknown_keys(parse_config(config.encode(), name_default="m"))]


def test_unknown_keys_are_found_at_every_depth() -> None:
    assert found("model_naem: x\nresources:\n  cpus: 1\npenstock:\n  limit: {}\n") == [
        "model_naem",
        "resources.cpus",
        "penstock.limit",
    ]


def test_keys_without_a_meaning_here_are_no_slips() -> None:
    assert found("model_name: m\nspec_version: 3\nmodel_framework: torch\n") == []


def test_a_key_that_stands_twice_is_no_unknown_key() -> None:
    assert found("model_name: m\nmodel_name: m\n") == []


def test_keys_of_the_user_are_free() -> None:
    assert found("model_metadata: {anything: 1}\nsecrets: {a: null}\nenvironment_variables: {B: c}\n") == []
