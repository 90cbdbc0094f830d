"""Brings generated Trusses to the controller, and has it make a chain of them."""

from __future__ import annotations

from collections.abc import Mapping

from penstock.api.control.v1 import admin_pb2_grpc, chain_pb2
from penstock.chains.generated import GeneratedChain, GeneratedChainlet
from penstock.cli.command_error import CommandError
from penstock.cli.progress_line import ProgressLine
from penstock.cli.push.uploading import bring
from penstock.packing import PackError, take_inventory
from penstock.truss import ConfigError

CREATE_S = 300.0
"""Time for the controller to read the config.yaml of every chainlet and to write down the deployments."""


def upload_chain(
    stub: admin_pb2_grpc.AdminServiceStub, chain: GeneratedChain, progress: ProgressLine
) -> dict[str, str]:
    """Sends what the controller has not; returns the artifact of each chainlet by display name.

    Raises:
        CommandError: A Truss cannot be packed.
    """
    return {each.display_name: upload_chainlet(stub, each, progress) for each in chain.chainlets}


def upload_chainlet(stub: admin_pb2_grpc.AdminServiceStub, chainlet: GeneratedChainlet, progress: ProgressLine) -> str:
    """Sends one Truss unless the controller has it; returns its artifact.

    Raises:
        CommandError: It cannot be packed.
    """
    try:
        inventory = take_inventory(chainlet.directory)
    except (ConfigError, PackError) as exc:
        raise CommandError(f"{chainlet.display_name}: {exc}") from None
    return bring(stub, inventory, progress, f"{chainlet.display_name}: ")[0]


def spec_of(
    chain: GeneratedChain,
    *,
    environment: str = "",
    artifacts: Mapping[str, str] | None = None,
    replicas: int | None = None,
) -> chain_pb2.ChainSpec:
    """Returns the chain as the controller takes it: of artifacts, or (None) of the directories themselves."""
    return chain_pb2.ChainSpec(
        name=chain.name,
        environment=environment,
        replicas=replicas,
        chainlets=[
            chain_pb2.ChainletSpec(
                name=each.display_name,
                artifact="" if artifacts is None else artifacts[each.display_name],
                source=str(each.directory) if artifacts is None else "",
                is_entrypoint=each.is_entrypoint,
                dependencies=each.dependencies,
            )
            for each in chain.chainlets
        ],
    )


def create_chain(stub: admin_pb2_grpc.AdminServiceStub, spec: chain_pb2.ChainSpec) -> chain_pb2.CreatedChain:
    """Creates it; a call that fails raises as in any block of `connected`."""
    return stub.CreateChain(chain_pb2.CreateChainRequest(chain=spec), timeout=CREATE_S).chain
