"""Reads Truss directories: config.yaml, with the place of every problem, and our settings under its key `penstock`."""

from __future__ import annotations

from penstock.truss.config import CONFIG_NAME, Transport, TransportKind, TrussConfig, load_config, parse_config
from penstock.truss.errors import ConfigError, Problem
from penstock.truss.settings import PenstockSettings

__all__ = [
    "CONFIG_NAME",
    "ConfigError",
    "PenstockSettings",
    "Problem",
    "Transport",
    "TransportKind",
    "TrussConfig",
    "load_config",
    "parse_config",
]
