"""truss.md section 3: what config.yaml says, as far as a running model shows it. All keys: tests/unit/truss."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from penstock.truss import load_config
from penstock_testing.truss_conformance import ModelDoor, model_folders

Door = Callable[[str], ModelDoor]

MARKED = {
    "every_key": "a_key_of_tomorrow",
    "hot_reload": "live_reload",
    "injected": "unknown_key",
    "ws_commands": "runtime.is_websocket_endpoint",
}
"""Models whose config.yaml is meant to be warned of, and the key that the warning names."""


@pytest.mark.parametrize("name", [folder.name for folder in model_folders()])
def test_the_config_of_every_model_is_accepted_with_no_warning_but_those_that_are_meant(name: str) -> None:
    (folder,) = [folder for folder in model_folders() if folder.name == name]

    warnings = [str(warning) for warning in load_config(folder).warnings]

    assert all(MARKED.get(name, "no key") in warning for warning in warnings), warnings
    assert bool(warnings) == (name in MARKED)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model_name", "every-key"),
        ("environment_variables", {"FLAG": False}),
        ("a_key_of_tomorrow", {"deep": [1, 2]}),
        ("spec_version", "2.0"),
        ("absent", None),
    ],
)
def test_a_model_gets_its_config_as_it_is_written(door: Door, key: str, value: object) -> None:
    assert door("every-key").predict(key) == value


def test_folders_files_and_class_may_have_other_names(door: Door) -> None:
    assert door("own-layout").predict("x") == ["bundled", "data", "x"]


def test_predict_is_served_whatever_the_transport_says(door: Door) -> None:
    """Section 10, 9."""
    assert door("own-layout").call("x").status == 200


def test_the_old_key_for_websocket_models_is_understood(door: Door) -> None:
    assert door("ws-commands").call({}).status == 404
