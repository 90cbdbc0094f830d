"""Turns a chain that someone asks for into the deployments of one version: reads each Truss directory, hashes all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from penstock_controller.chains.spec import WantedChain, WantedChainlet, problems, refuse_problems
from penstock_controller.deploying import ReadTruss, WantedDeployment, deployment_of, read_truss
from penstock_controller.errors import ControllerError, InvalidRequestError, NotFoundError
from penstock_controller.identifiers import chainlet_name, check_name, deployment_id
from penstock_controller.records import ChainPlace, Deployment


@dataclass(frozen=True, slots=True)
class PreparedChain:
    """One version of a chain, ready to be created."""

    name: str
    chain_id: str
    members: tuple[Deployment, ...]
    """In the order in which they were asked for."""

    @property
    def entrypoint(self) -> Deployment:
        return next(member for member in self.members if not member.is_inner)


def find_folders(chain: WantedChain, path_of: Callable[[str], Path]) -> dict[str, str]:
    """Returns the folder of every artifact that the chain names.

    Args:
        chain: What is asked for.
        path_of: Returns the folder of an artifact, or raises ControllerError.

    Raises:
        InvalidRequestError: Something asked for is wrong. All that is wrong is told.
        NotFoundError: Artifacts are not stored.
    """
    wrong = list(problems(chain))
    if chain.environment:
        try:
            check_name("environment", chain.environment)
        except InvalidRequestError as exc:
            wrong.append(str(exc))
    folders: dict[str, str] = {}
    missing: list[str] = []
    for chainlet in chain.chainlets:
        if not chainlet.artifact or chainlet.artifact in folders:
            continue
        try:
            folders[chainlet.artifact] = str(path_of(chainlet.artifact))
        except ControllerError as exc:
            (missing if isinstance(exc, NotFoundError) else wrong).append(f"chainlet {chainlet.name!r}: {exc}")
    refuse_problems(chain.name, wrong)
    if missing:
        raise NotFoundError("; ".join(missing))
    return folders


def prepare_chain(
    chain: WantedChain, folders: Mapping[str, str], environment: str, *, now_wall: float
) -> PreparedChain:
    """Builds the deployments of a chain. Reads files; not for the event loop.

    All of them share the time of creation, and the hash at the end of their ids: other content of any chainlet, or
    other calls between them, make another version, which shares no deployment with this one.

    Args:
        chain: What is asked for, as find_folders has checked it.
        folders: The folder of every artifact.
        environment: That the deployments have from the start; empty for none.
        now_wall: Seconds since the epoch.

    Raises:
        InvalidRequestError: A directory is no valid Truss, or a number is wrong. All that is wrong is told.
    """
    read: list[tuple[WantedChainlet, WantedDeployment, ReadTruss]] = []
    wrong: list[str] = []
    for chainlet in chain.chainlets:
        source = folders[chainlet.artifact] if chainlet.artifact else chainlet.source
        wanted = WantedDeployment("", source, chain.replicas, environment, chainlet.artifact)
        try:
            read.append((chainlet, wanted, read_truss(wanted)))
        except InvalidRequestError as exc:
            wrong.append(f"chainlet {chainlet.name!r}: {exc}")
    refuse_problems(chain.name, wrong)
    version = _version_hash(chain, [truss.content for _, _, truss in read])
    chain_id = deployment_id(chain.name, version)
    members = []
    for chainlet, wanted, truss in read:
        name = chainlet_name(chain.name, chainlet.name, is_entrypoint=chainlet.is_entrypoint)
        place = ChainPlace(chain.name, chain_id, chainlet.name, chainlet.is_entrypoint, chainlet.dependencies)
        member = deployment_of(
            wanted, truss, name=name, id_=deployment_id(name, version), now_wall=now_wall, chain=place
        )
        # A path that it claims would lead past the entrypoint.
        members.append(replace(member, routes=()) if member.is_inner else member)
    return PreparedChain(chain.name, chain_id, tuple(members))


def _version_hash(chain: WantedChain, contents: list[str]) -> str:
    """Returns a hash over the contents of all chainlets and what they are to one another, whatever their order."""
    parts = sorted(
        [chainlet.name, content, chainlet.is_entrypoint, sorted(chainlet.dependencies)]
        for chainlet, content in zip(chain.chainlets, contents, strict=True)
    )
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
