"""Trunks of this edge process: one per replica, dialled when the replica becomes known, again when it is needed."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from penstock.trunk.connection import Trunk

log = structlog.get_logger("edge")


class Trunks:
    """All trunks of an edge process; a trunk's `peer_id` is the id of its replica.

    Args:
        after_batch: called after each received batch, to flush what it caused.
        on_go_away: called with the id of a replica that wants no more streams.
    """

    def __init__(self, edge_id: str, *, after_batch: Callable[[], None], on_go_away: Callable[[str], None]) -> None:
        self.trunk_name = edge_id
        self._after_batch = after_batch
        self._on_go_away = on_go_away
        self._trunks: dict[str, Trunk] = {}
        self._all: set[Trunk] = set()

    def get(self, replica_id: str, address: str) -> Trunk:
        """Returns the living trunk to a replica, or dials one."""
        trunk = self._trunks.get(replica_id)
        if trunk is None or trunk.address != address or trunk.is_worn:
            trunk = Trunk(self, replica_id, address)
            self._trunks[replica_id] = trunk
            self._all.add(trunk)
        return trunk

    # Calls of the trunks

    def after_batch(self) -> None:
        """What a batch has caused is written out."""
        self._after_batch()

    def trunk_go_away(self, trunk: Trunk, reason: str) -> None:
        """The replica drains."""
        self._on_go_away(trunk.peer_id)

    def trunk_ended(self, trunk: Trunk, detail: str, streams: int, *, was_ready: bool) -> None:
        """Takes a trunk that is over out of the pool."""
        self._all.discard(trunk)
        if self._trunks.get(trunk.peer_id) is trunk:
            del self._trunks[trunk.peer_id]
        if was_ready:
            log.info("trunk_lost", replica=trunk.peer_id, detail=detail, streams=streams)

    def drop_idle(self, replica_id: str) -> None:
        """Ends the trunk to a replica that is gone, if no stream is on it; else its own end will tell."""
        trunk = self._trunks.get(replica_id)
        if trunk is not None and trunk.stream_count == 0:
            trunk.stop()

    async def stop(self) -> None:
        """Ends every trunk."""
        trunks = list(self._all)
        for trunk in trunks:
            trunk.stop()
        for trunk in trunks:
            await trunk.wait_ended()
