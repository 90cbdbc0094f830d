"""The package: every public name, and what importing it costs."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from penstock import chains

NAMES = [
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


def test_the_public_names_are_those_of_truss_chains() -> None:
    assert sorted(chains.__all__) == sorted(NAMES)
    assert set(NAMES) <= set(dir(chains))


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_can_be_had(name: str) -> None:
    assert getattr(chains, name).__name__ == name


def test_another_name_is_missing_as_in_any_module() -> None:
    with pytest.raises(AttributeError, match=r"module 'penstock\.chains' has no attribute 'Chainlet'"):
        _ = chains.Chainlet  # type: ignore[attr-defined]  # that is the test


def test_importing_it_loads_no_server_and_no_network() -> None:
    code = "import json, sys; from penstock import chains; {}; print(json.dumps(sorted(sys.modules)))"

    def modules(use: str) -> set[str]:
        result = subprocess.run([sys.executable, "-c", code.format(use)], capture_output=True, check=True)
        return set(json.loads(result.stdout))

    assert "pydantic" not in modules("pass")
    heavy = {"aiohttp", "fastapi", "grpc", "numpy", "rich", "starlette", "uvicorn", "yaml"}
    assert (
        modules("chains.ChainletBase, chains.RemoteConfig, chains.depends, chains.WebSocketProtocol") & heavy == set()
    )
