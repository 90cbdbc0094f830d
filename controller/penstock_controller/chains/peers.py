"""Tells the replicas of chains what they can call, and through which edges."""

from __future__ import annotations

from penstock.api.control.v1 import control_pb2
from penstock_controller.edge_table import InnerAddresses
from penstock_controller.records import ChainPlace
from penstock_controller.sessions import RunnerSession
from penstock_controller.world import World


class ChainPeers:
    """What the replicas of chains were told in one controller life."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._told = InnerAddresses()

    def attached(self, deployment_id: str, session: RunnerSession) -> None:
        """A replica has opened its call: it learns of its chain at once, if it is of one."""
        deployment = self._world.deployments.get(deployment_id)
        if deployment is not None and deployment.chain is not None:
            addresses = self._world.registry.edges.inner_addresses(self._world.clock())
            session.send_peers(self._message(deployment.chain, deployment_id, addresses))

    def step(self) -> None:
        """Tells all replicas of chains when the edges have changed since the last time."""
        world = self._world
        addresses = world.registry.edges.inner_addresses(world.clock())
        if addresses == self._told:
            return
        self._told = addresses
        messages: dict[str, control_pb2.AttachResponse] = {}
        for replica in world.registry.replicas():
            deployment = world.deployments.get(replica.deployment_id)
            if deployment is None or deployment.chain is None:
                continue
            place = deployment.chain
            if place.chain_id not in messages:
                messages[place.chain_id] = self._message(place, replica.deployment_id, addresses)
            world.sessions.send_peers(replica.replica_id, messages[place.chain_id])

    def _message(self, place: ChainPlace, deployment_id: str, addresses: InnerAddresses) -> control_pb2.AttachResponse:
        world = self._world
        peers = control_pb2.ChainPeers(
            chain=place.chain,
            chain_id=place.chain_id,
            chainlets=[
                control_pb2.ChainPeer(chainlet=d.chain.chainlet, deployment_id=d.deployment_id, name=d.name)
                for d in world.version_of(deployment_id)
                if d.chain is not None
            ],
            edge_addresses=addresses.trunks,
            http_address=addresses.http,
        )
        return control_pb2.AttachResponse(chain_peers=peers, epoch=world.registry.epoch)
