"""The open calls of runners and edges, and what waits to be sent to them."""

from __future__ import annotations

import asyncio
import itertools

from penstock.api.control.v1 import control_pb2
from penstock_controller.conversion import duration

OUTBOX_MAX = 64
"""Commands that may wait for one runner. A runner that takes none of them is cut off, and attaches again."""

_PEERS = control_pb2.AttachResponse()
"""Stands in an outbox for the newest peers."""

_numbers = itertools.count(1)


class RunnerSession:
    """One Attach call."""

    def __init__(self) -> None:
        self.number = next(_numbers)
        """Unique in this process."""
        self._outbox: asyncio.Queue[control_pb2.AttachResponse | None] = asyncio.Queue(OUTBOX_MAX)
        self._peers: control_pb2.AttachResponse | None = None
        self._closed = False

    def send(self, response: control_pb2.AttachResponse) -> None:
        try:
            self._outbox.put_nowait(response)
        except asyncio.QueueFull:
            self.close()

    def send_peers(self, response: control_pb2.AttachResponse) -> None:
        """Sends what a chainlet can call, in the place of one that waits still: only the newest matters."""
        is_waiting, self._peers = self._peers is not None, response
        if not is_waiting:
            self.send(_PEERS)

    def close(self) -> None:
        """Ends the call, now or after what is waiting has been sent."""
        self._closed = True
        try:
            self._outbox.put_nowait(None)
        except asyncio.QueueFull:
            # The sender looks at _closed after each message.
            pass

    async def next(self) -> control_pb2.AttachResponse | None:
        """Returns what to send next; None when the call is to end."""
        if self._closed and self._outbox.empty():
            return None
        response = await self._outbox.get()
        if response is _PEERS:
            response, self._peers = self._peers, None
        return response


class RunnerSessions:
    """All Attach calls, by replica."""

    def __init__(self, epoch: int) -> None:
        self._epoch = epoch
        self._sessions: dict[str, RunnerSession] = {}
        self._numbers = itertools.count(1)

    def opened(self, replica_id: str, session: RunnerSession) -> None:
        replaced = self._sessions.get(replica_id)
        if replaced is not None:
            replaced.close()
        self._sessions[replica_id] = session

    def closed(self, replica_id: str, session: RunnerSession) -> None:
        if self._sessions.get(replica_id) is session:
            del self._sessions[replica_id]

    def close(self) -> None:
        """Ends all calls."""
        for session in self._sessions.values():
            session.close()

    def drain(
        self, replica_id: str, *, if_idle: bool = False, grace_s: float | None = None, spread_s: float = 0.0
    ) -> str | None:
        """Asks a replica to drain; without `grace_s` its streams have all the time they want.

        Args:
            spread_s: last part of the grace, over which the ends of its streams are spread.

        Returns the id of the drain; None when the replica has no call open.
        """
        drain = control_pb2.Drain(
            drain_id=f"{self._epoch}-{next(self._numbers)}",
            if_idle=if_idle,
            grace=None if grace_s is None else duration(grace_s),
            spread=None if grace_s is None or spread_s <= 0 else duration(min(spread_s, grace_s)),
        )
        return drain.drain_id if self._send(replica_id, control_pb2.AttachResponse(drain=drain)) else None

    def undrain(self, replica_id: str) -> bool:
        """Asks a replica to admit streams again. Returns whether it has a call open."""
        return self._send(replica_id, control_pb2.AttachResponse(undrain=control_pb2.Undrain()))

    def set_capacity(self, replica_id: str, slots: int) -> bool:
        """Changes the number of slots of a replica. Returns whether it has a call open."""
        limits = control_pb2.SetLimits(stream_capacity=slots)
        return self._send(replica_id, control_pb2.AttachResponse(set_limits=limits))

    def send_peers(self, replica_id: str, response: control_pb2.AttachResponse) -> None:
        """Tells a replica of a chain what it can call, if it has a call open."""
        session = self._sessions.get(replica_id)
        if session is not None:
            session.send_peers(response)

    def reload(self, replica_id: str) -> str | None:
        """Asks a replica to import its code again. Returns the id of the reload; None when it has no call open."""
        reload = control_pb2.ReloadModel(reload_id=f"{self._epoch}-{next(self._numbers)}")
        return reload.reload_id if self._send(replica_id, control_pb2.AttachResponse(reload=reload)) else None

    def _send(self, replica_id: str, response: control_pb2.AttachResponse) -> bool:
        session = self._sessions.get(replica_id)
        if session is None:
            return False
        response.epoch = self._epoch
        session.send(response)
        return True
