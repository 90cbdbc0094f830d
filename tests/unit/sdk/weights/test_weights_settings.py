from __future__ import annotations

from pathlib import Path

import pytest

from penstock.weights.errors import WeightsError
from penstock.weights.settings import CACHE_BYTES_VARIABLE, read_fetch_settings


@pytest.mark.parametrize(
    ("text", "value"),
    [("", None), ("1000", 1000), ("500GiB", 500 * 2**30), ("1.5 TB", 1_500_000_000_000), ("2g", 2 * 10**9)],
)
def test_the_bound_of_the_cache_takes_units(text: str, value: int | None) -> None:
    assert read_fetch_settings({CACHE_BYTES_VARIABLE: text}, {}).cache_bytes == value


@pytest.mark.parametrize("text", ["0", "-1", "much", "10 apples", "0.0000001"])
def test_a_bound_that_is_none_is_refused_with_the_name_of_the_variable(text: str) -> None:
    with pytest.raises(WeightsError, match=CACHE_BYTES_VARIABLE):
        read_fetch_settings({CACHE_BYTES_VARIABLE: text}, {})


@pytest.mark.parametrize(
    ("env", "folder"),
    [
        ({"HF_HUB_CACHE": "/a", "HF_HOME": "/b"}, "/a"),
        ({"HF_HOME": "/b"}, "/b/hub"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/huggingface/hub"),
        ({}, str(Path("~/.cache/huggingface/hub").expanduser())),
    ],
)
def test_the_hub_cache_is_where_huggingface_hub_looks(env: dict[str, str], folder: str) -> None:
    assert read_fetch_settings(env, {}).hub_cache == Path(folder)


def test_the_model_sees_the_hub_that_its_configuration_names() -> None:
    settings = read_fetch_settings({"HF_HOME": "/mine", "HF_TOKEN": "t"}, {"HF_HOME": "/models"})

    assert (settings.hub_cache, settings.hub_token) == (Path("/models/hub"), "t")


def test_another_hub_can_be_named() -> None:
    assert read_fetch_settings({"HF_ENDPOINT": "http://hub.local/"}, {}).hub_endpoint == "http://hub.local"
    with pytest.raises(WeightsError, match="HF_ENDPOINT"):
        read_fetch_settings({"HF_ENDPOINT": "hub.local"}, {})
