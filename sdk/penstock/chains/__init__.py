"""Chains: classes that call one another across machines. Everything that users of Truss Chains import.

    from penstock import chains

    class RandInt(chains.ChainletBase):
        async def run_remote(self, max_value: int) -> int: ...

`import truss_chains as chains` means this package wherever chains are run here, unless the real one is installed.
The names below are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.chains.abs_path import make_abs_path_here
    from penstock.chains.chainlet import ChainletBase, ModelBase
    from penstock.chains.context import DeployedServiceDescriptor, DeploymentContext, Environment
    from penstock.chains.engine_builder import EngineBuilderLLMChainlet, EngineBuilderLLMInput
    from penstock.chains.entrypoint import mark_entrypoint
    from penstock.chains.local import run_local
    from penstock.chains.markers import depends, depends_context
    from penstock.chains.options import ChainletOptions, RPCOptions
    from penstock.chains.remote.rpc_errors import GenericRemoteException, RemoteErrorDetail
    from penstock.chains.remote.stub import StubBase
    from penstock.chains.remote_config import Assets, BasetenImage, Compute, CustomImage, DockerImage, RemoteConfig
    from penstock.chains.service import push
    from penstock.chains.truss_chainlet import TrussChainlet
    from penstock.chains.truss_config import WeightsSource
    from penstock.chains.websocket import WebSocketProtocol

__all__ = [
    "Assets",
    "BasetenImage",
    "ChainletBase",
    "ChainletOptions",
    "Compute",
    "CustomImage",
    "DeployedServiceDescriptor",
    "DeploymentContext",
    "DockerImage",
    "EngineBuilderLLMChainlet",
    "EngineBuilderLLMInput",
    "Environment",
    "GenericRemoteException",
    "ModelBase",
    "RPCOptions",
    "RemoteConfig",
    "RemoteErrorDetail",
    "StubBase",
    "TrussChainlet",
    "WebSocketProtocol",
    "WeightsSource",
    "depends",
    "depends_context",
    "make_abs_path_here",
    "mark_entrypoint",
    "push",
    "run_local",
]

_HOMES = {
    "Assets": "remote_config",
    "BasetenImage": "remote_config",
    "ChainletBase": "chainlet",
    "ChainletOptions": "options",
    "Compute": "remote_config",
    "CustomImage": "remote_config",
    "DeployedServiceDescriptor": "context",
    "DeploymentContext": "context",
    "DockerImage": "remote_config",
    "EngineBuilderLLMChainlet": "engine_builder",
    "EngineBuilderLLMInput": "engine_builder",
    "Environment": "context",
    "GenericRemoteException": "remote.rpc_errors",
    "ModelBase": "chainlet",
    "RPCOptions": "options",
    "RemoteConfig": "remote_config",
    "RemoteErrorDetail": "remote.rpc_errors",
    "StubBase": "remote.stub",
    "TrussChainlet": "truss_chainlet",
    "WebSocketProtocol": "websocket",
    "WeightsSource": "truss_config",
    "depends": "markers",
    "depends_context": "markers",
    "make_abs_path_here": "abs_path",
    "mark_entrypoint": "entrypoint",
    "push": "service",
    "run_local": "local",
}
"""Module of each name, below this package."""

_MODULES = {
    "private_types": "penstock.chains.abc_chainlet",
    "public_api": "penstock.chains",
}
"""Modules that `from truss_chains import …` asks this package for, and that have another name here."""

# A type checker that saw this function would take every name for a name of ours.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name in _MODULES:
            return import_module(_MODULES[name])
        home = _HOMES.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"penstock.chains.{home}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
