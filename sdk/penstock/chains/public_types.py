"""Types that users of Truss Chains import from here."""

from __future__ import annotations

from penstock.chains.abs_path import AbsPath
from penstock.chains.context import DeployedServiceDescriptor, DeploymentContext, Environment, ServiceDescriptorUrls
from penstock.chains.engine_builder import EngineBuilderLLMInput
from penstock.chains.errors import ChainsDeploymentError, ChainsRuntimeError, ChainsUsageError, MissingDependencyError
from penstock.chains.names import CHAIN_API_KEY_SECRET as CHAIN_API_KEY_SECRET_NAME
from penstock.chains.options import DEFAULT_CONCURRENCY_LIMIT, ChainletOptions, RPCOptions
from penstock.chains.options import DEFAULT_TIMEOUT_S as DEFAULT_TIMEOUT_SEC
from penstock.chains.remote.rpc_errors import GenericRemoteException, RemoteErrorDetail
from penstock.chains.remote_config import (
    CPU_COUNT,
    SECRET_DUMMY,
    Assets,
    AssetSpec,
    BasetenImage,
    Compute,
    ComputeSpec,
    CustomImage,
    DockerImage,
    RemoteConfig,
)
from penstock.chains.websocket import WebSocketProtocol

__all__ = [
    "CHAIN_API_KEY_SECRET_NAME",
    "CPU_COUNT",
    "DEFAULT_CONCURRENCY_LIMIT",
    "DEFAULT_TIMEOUT_SEC",
    "SECRET_DUMMY",
    "AbsPath",
    "AssetSpec",
    "Assets",
    "BasetenImage",
    "ChainletOptions",
    "ChainsDeploymentError",
    "ChainsRuntimeError",
    "ChainsUsageError",
    "Compute",
    "ComputeSpec",
    "CustomImage",
    "DeployedServiceDescriptor",
    "DeploymentContext",
    "DockerImage",
    "EngineBuilderLLMInput",
    "Environment",
    "GenericRemoteException",
    "MissingDependencyError",
    "RPCOptions",
    "RemoteConfig",
    "RemoteErrorDetail",
    "ServiceDescriptorUrls",
    "WebSocketProtocol",
]
