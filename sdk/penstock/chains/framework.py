"""Classes to derive from, and the registry behind them, under the names of Truss Chains."""

from __future__ import annotations

from penstock.chains.chainlet import ChainletBase, ModelBase
from penstock.chains.engine_builder import EngineBuilderLLMChainlet
from penstock.chains.registry import describe as get_descriptor
from penstock.chains.registry import raise_errors as raise_validation_errors
from penstock.chains.truss_chainlet import TrussChainlet

__all__ = [
    "ChainletBase",
    "EngineBuilderLLMChainlet",
    "ModelBase",
    "TrussChainlet",
    "get_descriptor",
    "raise_validation_errors",
]
