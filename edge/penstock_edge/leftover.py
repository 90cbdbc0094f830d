"""Sink of a stream that has no client any more, while the model's handler may still run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.api.trunk.v1 import trunk_pb2
from penstock.trunk.stream import Closing

if TYPE_CHECKING:
    from penstock_edge.plane import DataPlane


class Leftover:
    """Drops what still comes, and gives the place on the replica back when the handler has ended."""

    __slots__ = ("_deployment_id", "_plane", "_replica_id")

    def __init__(self, plane: DataPlane, deployment_id: str, replica_id: str) -> None:
        self._plane = plane
        self._deployment_id = deployment_id
        self._replica_id = replica_id

    def on_accept(self, accept: trunk_pb2.AcceptStream) -> None:
        """The answer came too late; the close is on its way."""

    def on_reject(self, reject: trunk_pb2.RejectStream) -> None:
        """The answer came too late, and the stream is over."""
        self._plane.stream_ended(self._deployment_id, self._replica_id)

    def on_segment(self, kind: int, data: bytes) -> None:
        """Dropped. No credit is returned: the model has been told, or is about to be."""

    def on_close(self, closing: Closing) -> None:
        """The handler has ended."""
        self._plane.stream_ended(self._deployment_id, self._replica_id)

    def on_writable(self) -> None:
        """Nothing is to be sent."""
