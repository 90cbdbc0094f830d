"""Names of the engine builder: there, and clear about what they cannot do."""

from __future__ import annotations

from typing import Any

import pytest

from penstock import chains
from penstock.chains.errors import ChainsUsageError

OWN: dict[str, Any] = {"own": 1}


def test_deriving_an_engine_builder_chainlet_says_what_to_do_instead() -> None:
    with pytest.raises(
        ChainsUsageError, match=r"`Llm`: Engine builder chainlets run on engines that only Baseten builds"
    ):

        class Llm(chains.EngineBuilderLLMChainlet): ...

    with pytest.raises(ChainsUsageError, match="Write a chainlet that starts an inference server of your own"):
        chains.EngineBuilderLLMChainlet()


def test_its_input_is_a_request_to_a_language_model() -> None:
    request = chains.EngineBuilderLLMInput(messages=[{"role": "user", "content": "Hi"}], max_tokens=5, **OWN)

    assert request.model_dump(exclude_unset=True) == {
        "messages": [{"role": "user", "content": "Hi"}],
        "max_tokens": 5,
        "own": 1,
    }
    assert (request.temperature, request.top_k) == (1.0, 50)
