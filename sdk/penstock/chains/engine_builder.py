"""Names of Baseten's engine builder, which no other platform has: importing them works, using them says why not."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NoReturn

import pydantic

from penstock.chains.errors import ChainsUsageError

UNAVAILABLE = (
    "Engine builder chainlets run on engines that only Baseten builds; they cannot run here. "
    "Write a chainlet that starts an inference server of your own (for example vLLM), or use a `TrussChainlet` "
    "with a Truss directory that does."
)


class EngineBuilderLLMInput(pydantic.BaseModel):
    """A request to a language model, in the form of OpenAI's API with the additions of Baseten's engine.

    It can be used for calls of any server that takes this form. Other keys are kept.
    """

    model_config = pydantic.ConfigDict(extra="allow")

    model: str | None = ""
    messages: list[dict[str, Any]] | None = None
    prompt: Annotated[str, pydantic.StringConstraints(min_length=1)] | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    seed: int | None = None
    random_seed: int | None = None
    frequency_penalty: float | None = 0
    presence_penalty: float | None = 0
    length_penalty: float | None = None
    repetition_penalty: float | None = None
    temperature: float | None = 1.0
    top_p: float | None = 1.0
    runtime_top_p: float | None = None
    top_k: int | None = 50
    runtime_top_k: int | None = None
    stop: str | list[str] | None = None
    bad_words_: str | list[str] | None = None
    skip_special_tokens: list[str] | None = None
    response_format: dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = True
    beam_width: Literal[1] | None = None
    n: int | None = 1
    end_id: int | None = None
    pad_id: int | None = None
    margins_prompt: str | None = None
    margins_stop_sequences: list[str] | None = ["NO#"]
    max_chunk_size: int | None = 4096
    lookahead_decoding_config: dict[str, Any] | None = None


class EngineBuilderLLMChainlet:
    """Stands for chainlets whose engine Baseten builds. Deriving from it fails.

    Raises:
        ChainsUsageError: always, when a class is derived or an object is made.
    """

    def __init_subclass__(cls, **kwargs: Any) -> NoReturn:
        raise ChainsUsageError(f"`{cls.__name__}`: {UNAVAILABLE}")

    def __init__(self) -> None:
        raise ChainsUsageError(UNAVAILABLE)
