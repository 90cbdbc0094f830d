"""Keys without a meaning here are accepted, each with one warning that says so."""

from __future__ import annotations

import json

import pytest

from penstock.truss import parse_config
from penstock.truss.unused import UNUSED_KEYS, UnusedKey


def warnings(key: str, value: object) -> list[str]:
    *parents, leaf = key.split(".")
    document: object = {leaf: value}
    for parent in reversed(parents):
        document = {parent: document}
    # YAML understands JSON.
    config = parse_config(json.dumps(document).encode(), name_default="m")
    return [f"{warning.key}: {warning.message}" for warning in config.warnings]


@pytest.mark.parametrize("unused", UNUSED_KEYS, ids=lambda unused: unused.key)
def test_key_gets_one_warning_whatever_stands_in_it(unused: UnusedKey) -> None:
    values: list[object] = [{"a": {"b": 1}}, ["x"]]
    if unused.key != "resources.instance_type":
        values += [7]

    for value in values if unused.key != "resources.instance_type" else ["L4:4x16"]:
        assert warnings(unused.key, value) == [f"{unused.key}: not used: {unused.reason}"]


@pytest.mark.parametrize("unused", UNUSED_KEYS, ids=lambda unused: unused.key)
def test_value_that_asks_for_nothing_gets_no_warning(unused: UnusedKey) -> None:
    empty: tuple[object, ...] = (None, "") if unused.key == "resources.instance_type" else (None, "", [], {})
    for value in (*empty, *unused.neutral):
        assert warnings(unused.key, value) == []


def test_version_without_quotes_is_the_default_too() -> None:
    assert warnings("spec_version", 2.0) == []
    assert warnings("spec_version", 1.0) != []
