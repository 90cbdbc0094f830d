"""Reads Truss directories: config.yaml, with the place of every problem, and our settings under its key `penstock`."""

from __future__ import annotations

from penstock.truss.assets import ExternalData, ModelCacheItem, WeightsItem
from penstock.truss.base_image import BaseImage
from penstock.truss.config import CONFIG_NAME, TrussConfig, load_config, parse_config
from penstock.truss.docker_server import DockerServer
from penstock.truss.dump import dump_config
from penstock.truss.errors import ConfigError, Problem
from penstock.truss.health_checks import HealthChecks
from penstock.truss.resources import Resources
from penstock.truss.settings import PenstockSettings
from penstock.truss.transport import Transport, TransportKind

__all__ = [
    "CONFIG_NAME",
    "BaseImage",
    "ConfigError",
    "DockerServer",
    "ExternalData",
    "HealthChecks",
    "ModelCacheItem",
    "PenstockSettings",
    "Problem",
    "Resources",
    "Transport",
    "TransportKind",
    "TrussConfig",
    "WeightsItem",
    "dump_config",
    "load_config",
    "parse_config",
]
