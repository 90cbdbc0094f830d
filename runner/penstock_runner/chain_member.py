"""A runner whose model is a chainlet: it learns of the others from its controller, and its stubs reach them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import structlog

from penstock.api.control.v1 import control_pb2
from penstock.chains.names import METADATA_KEY
from penstock.truss import TrussConfig

if TYPE_CHECKING:
    from penstock.chains.remote.runtime import Peers

log = structlog.get_logger("runner")


def is_chainlet(config: TrussConfig) -> bool:
    """Whether the model was generated for a chainlet."""
    metadata = config.raw.get("model_metadata")
    return isinstance(metadata, Mapping) and METADATA_KEY in metadata


class ChainMember:
    """The process's part in its chain. Made on the loop's thread, before the user's code is imported."""

    def __init__(self, replica_id: str) -> None:
        # Only chainlets need these modules.
        from penstock.chains.remote import runtime
        from penstock.chains.remote.caller import ChainCaller

        self._runtime = runtime
        self._caller = ChainCaller(replica_id, on_lost=_note_loss)
        runtime.install(self._caller)

    def take(self, message: control_pb2.ChainPeers) -> None:
        """Takes what the controller says of the chain. Any thread."""
        peers = self._peers(message)
        log.info("chain_peers", chain_id=peers.chain_id, chainlets=len(peers.chainlets), edges=peers.edge_addresses)
        self._caller.set_peers(peers)

    async def stop(self) -> None:
        """Ends every call that is still under way."""
        if self._runtime.installed() is self._caller:
            self._runtime.install(None)
        await self._caller.stop()

    def _peers(self, message: control_pb2.ChainPeers) -> Peers:
        return self._runtime.Peers(
            chain=message.chain,
            chain_id=message.chain_id,
            chainlets={
                peer.chainlet: self._runtime.Peer(peer.chainlet, peer.deployment_id, peer.name)
                for peer in message.chainlets
            },
            edge_addresses=tuple(message.edge_addresses),
            http_address=message.http_address,
        )


def _note_loss(address: str, detail: str, streams: int) -> None:
    log.warning("chain_edge_lost", edge=address, detail=detail, streams=streams)
