"""The chains that `penstock up` serves: made of their files, and what is said of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from penstock.api.control.v1 import chain_pb2
from penstock.chains.chain_file import ChainFile
from penstock.chains.generated import GeneratedChain
from penstock.chains.generation import GenerationError, generate
from penstock.cli.chains.deploying import spec_of
from penstock.cli.chains.report import WEBSOCKET_KINDS
from penstock.cli.up.admin import ChainVersion
from penstock.cli.up.observation import Observation, Phase
from penstock.cli.up.report import ServedChain, ServedChainlet
from penstock.cli.up.saved import indented

FOLDER = "chains"
"""Below the state folder: the Trusses of chainlets."""


class ChainsInvalidError(Exception):
    """Chains that cannot be served as they are; the message is for people."""


class UpChains:
    """The chains of one `penstock up`.

    Args:
        files: Their sources.
        folder: Where the Trusses of their chainlets are written.
        note: Shows a text to the user.
    """

    def __init__(self, files: Sequence[ChainFile], folder: Path, note: Callable[[str], None]) -> None:
        self._files = tuple(files)
        self._folder = folder
        self._note = note
        self.generated: tuple[GeneratedChain, ...] = ()
        """In the order of the files, as they were written last."""

    def folder_of(self, file: ChainFile) -> Path:
        return self._folder / file.folder_name

    async def generate(self) -> None:
        """Imports each file in a process of its own, and writes the Trusses of its chainlets.

        Raises:
            ChainsInvalidError: A file breaks a rule, or raises; the text has the problems of all files.
        """
        found: list[GeneratedChain] = []
        problems: list[str] = []
        for file in self._files:
            try:
                generation = await generate(file, self.folder_of(file))
            except GenerationError as exc:
                said = f"{exc.output}\n" if exc.output else ""
                problems.append(f"{file.file}: the chain cannot be served\n\n{indented(said + str(exc))}")
                continue
            if generation.output:
                self._note(generation.output)
            for warning in generation.chain.warnings:
                self._note(f"{generation.chain.name}: warning: {warning}")
            found.append(generation.chain)
        names = [chain.name for chain in found]
        twice = sorted({name for name in names if names.count(name) > 1})
        problems += [f"two chains are named {name!r}; name one with @chains.mark_entrypoint" for name in twice]
        if problems:
            raise ChainsInvalidError("\n\n".join(problems))
        self.generated = tuple(found)

    def specs(self, replicas: int | None) -> list[chain_pb2.ChainSpec]:
        """Returns the chains as the controller takes them."""
        return [spec_of(chain, replicas=replicas) for chain in self.generated]

    def served(self, observation: Observation, versions: Sequence[ChainVersion]) -> tuple[ServedChain, ...]:
        """Returns what is said of the chains when they are ready."""
        return tuple(
            _served(observation, chain, version) for chain, version in zip(self.generated, versions, strict=True)
        )


def _served(observation: Observation, chain: GeneratedChain, version: ChainVersion) -> ServedChain:
    chainlets = []
    for name, deployment_id in version.chainlets:
        deployment = observation.deployment(deployment_id)
        ready = (item for item in observation.replicas_of(deployment_id) if item.phase is Phase.READY)
        chainlets.append(
            ServedChainlet(
                name,
                deployment_id,
                deployment.ready if deployment is not None else 0,
                deployment_id == version.entrypoint_id,
                # All replicas of a deployment run the same code; the first says it for all.
                note=next((item.message for item in ready if item.message), ""),
            )
        )
    return ServedChain(
        version.name,
        version.chain_id,
        chain.entrypoint.kind in WEBSOCKET_KINDS,
        tuple(sorted(chainlets, key=lambda each: each.is_entrypoint)),
        chain.entrypoint.example,
    )
