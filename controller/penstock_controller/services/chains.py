"""The calls of AdminService on chains."""

from __future__ import annotations

import asyncio

from penstock.api.control.v1 import chain_pb2
from penstock_controller.chains.preparing import PreparedChain, find_folders, prepare_chain
from penstock_controller.chains.spec import WantedChain, WantedChainlet
from penstock_controller.errors import ControllerError
from penstock_controller.services.reading import AdminReads, Context
from penstock_controller.services.refusal import refuse


class AdminChains(AdminReads):
    """CreateChain."""

    async def CreateChain(
        self, request: chain_pb2.CreateChainRequest, context: Context
    ) -> chain_pb2.CreateChainResponse:
        try:
            prepared = await self._prepare_chain(request.chain, "")
            created = await self._parts.reconciler.creations.create_chain(prepared, request.chain.environment)
        except ControllerError as error:
            await refuse(context, error)
        chain = created_chain(prepared, created.environment, existed=created.existed)
        return chain_pb2.CreateChainResponse(chain=chain)

    async def _prepare_chain(self, spec: chain_pb2.ChainSpec, environment: str) -> PreparedChain:
        """Reads what a chain is made of. Its deployments have `environment`, whatever the spec says."""
        wanted = _wanted(spec)
        folders = find_folders(wanted, self._parts.artifacts.path)
        return await asyncio.to_thread(prepare_chain, wanted, folders, environment, now_wall=self._parts.wall())


def created_chain(prepared: PreparedChain, environment: str, *, existed: bool) -> chain_pb2.CreatedChain:
    """Returns what was created."""
    return chain_pb2.CreatedChain(
        name=prepared.name,
        chain_id=prepared.chain_id,
        environment=environment,
        existed=existed,
        chainlets=[
            chain_pb2.CreatedChainlet(
                name=member.chain.chainlet, deployment_id=member.deployment_id, is_entrypoint=member.chain.is_entrypoint
            )
            for member in prepared.members
            if member.chain is not None
        ],
    )


def _wanted(spec: chain_pb2.ChainSpec) -> WantedChain:
    return WantedChain(
        name=spec.name,
        chainlets=tuple(
            WantedChainlet(c.name, c.artifact, c.source, c.is_entrypoint, tuple(c.dependencies)) for c in spec.chainlets
        ),
        environment=spec.environment,
        replicas=spec.replicas if spec.HasField("replicas") else None,
    )
