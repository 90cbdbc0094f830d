"""Names of Baseten's engine builder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from penstock.chains import alias
from penstock.chains.errors import ChainsUsageError


@pytest.fixture(autouse=True)
def installed() -> Iterator[None]:
    alias.install()
    yield
    alias.uninstall()


@pytest.mark.parametrize("text", ["trt_llm_config.CheckpointSource.HF", "truss_config.TRTLLMConfiguration(build=1)"])
def test_what_only_its_makers_can_run_says_so_when_it_is_used(text: str) -> None:
    names: dict[str, object] = {}
    exec("from truss.base import trt_llm_config, truss_config", names)

    with pytest.raises(ChainsUsageError, match="cannot run here"):
        eval(text, names)


def test_what_modules_are_asked_for_by_tools_is_not_there() -> None:
    names: dict[str, object] = {}
    exec("from truss.base import trt_llm_config, truss_config", names)

    assert not hasattr(names["trt_llm_config"], "__path__")
    with pytest.raises(AttributeError, match="no_such_name"):
        eval("truss_config.no_such_name", names)
