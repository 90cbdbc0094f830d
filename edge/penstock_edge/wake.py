"""Wakes deployments that have no replica: a wish stands in the line of those who want a slot, and takes none."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from penstock.close_codes import EndCode
from penstock_edge.http_request import refuse
from penstock_edge.request_call import CallFailedError

if TYPE_CHECKING:
    from penstock_edge.plane import DataPlane
    from penstock_edge.routing import Deployment

WAKE_S = 600.0
"""How long a deployment may take to have a replica; then it is given up."""


class Wakes:
    """The wishes of one process, one for each deployment at most."""

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane
        self._wishes: dict[str, _Wish] = {}

    async def serve(self, deployment: Deployment, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request for the endpoint "wake" at once: 202."""
        if scope["method"] != "POST":
            text = f"{scope['method']} is not allowed here; send a POST request."
            failure = CallFailedError(EndCode.BAD_REQUEST, text, status=405)
        elif self._plane.is_draining:
            failure = CallFailedError(EndCode.EDGE_DRAINING, retry_after=1)
        else:
            self.wake(deployment)
            await JSONResponse({}, 202)(scope, receive, send)
            return
        await refuse(self._plane, deployment, failure, scope, receive, send)

    def wake(self, deployment: Deployment) -> None:
        """Has the controller start a replica when none is ready. A full line is wish enough."""
        plane = self._plane
        if deployment.id in self._wishes or plane.placement.ready_count(deployment.id, plane.now()):
            return
        wish = _Wish(self, plane, deployment)
        if plane.waiting.join(wish):
            self._wishes[deployment.id] = wish
            plane.line_grew(deployment.id)
        else:
            wish.cancel()

    def over(self, wish: _Wish) -> None:
        """There is a replica, or none has come in time."""
        del self._wishes[wish.deployment.id]
        self._plane.waiting.leave(wish)

    def stop(self) -> None:
        """Gives every wish up."""
        for wish in list(self._wishes.values()):
            wish.give_up()


class _Wish:
    """A Waiter that takes no slot."""

    __slots__ = ("_owner", "_plane", "_timer", "deployment", "waiting_since")

    def __init__(self, owner: Wakes, plane: DataPlane, deployment: Deployment) -> None:
        self._owner = owner
        self._plane = plane
        self.deployment = deployment
        self.waiting_since: float | None = plane.now()
        self._timer: asyncio.TimerHandle = plane.loop.call_later(WAKE_S, self.give_up)

    def wake(self) -> bool:
        """There may be a replica; then the place goes to whoever stands behind."""
        if not self._plane.placement.ready_count(self.deployment.id, self._plane.now()):
            return False
        self.give_up()
        return True

    def give_up(self) -> None:
        """Leaves the line."""
        self.cancel()
        self._owner.over(self)

    def cancel(self) -> None:
        """Stops the clock."""
        self._timer.cancel()
