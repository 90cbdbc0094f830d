"""Stands for `truss.base.trt_llm_config`: importing it works, using what was in it says why that cannot work here."""

from __future__ import annotations

from penstock.chains.engine_builder import UNAVAILABLE
from penstock.chains.errors import ChainsUsageError


def __getattr__(name: str) -> object:
    if name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    raise ChainsUsageError(f"`{name}`: {UNAVAILABLE}")
