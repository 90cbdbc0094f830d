"""ReadLogs: what replicas and the build of a deployment have written, and what they go on to write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from penstock.api.control.v1 import admin_pb2
from penstock_controller.actuators.replica_logs import log_file, written_at
from penstock_controller.errors import ControllerError, InvalidRequestError, NoRoomError, NotFoundError
from penstock_controller.log_origins import BUILD, build_log_name, owners, shown_replicas
from penstock_controller.log_tail import LogTail
from penstock_controller.naming import find_deployment, find_replicas
from penstock_controller.records import BuildState
from penstock_controller.services.reading import AdminParts, AdminReads, Context
from penstock_controller.services.refusal import refuse

TAIL_LINES_DEFAULT = 200
TAIL_LINES_MAX = 100_000

READERS_MAX = 32
"""Calls at the same time; further ones are refused."""

LOOK_S = 0.2
"""Time between two looks at files in which nothing was new."""

LOOKS_PER_SCAN = 5
"""Looks after which replicas that were not there before are searched for."""

QUIET_LOOKS = 5
"""Looks without a new line after which a log that nobody writes any more has ended."""

LINES_PER_MESSAGE = 1000
BYTES_PER_MESSAGE = 512 * 1024


@dataclass(slots=True)
class _Target:
    """What is read."""

    deployment_id: str
    replica_id: str = ""
    """Only this one; empty means all of the deployment."""
    build_only: bool = False
    tails: dict[str, LogTail] = field(default_factory=dict)
    """By origin."""


class AdminLogs(AdminReads):
    """The logs of deployments."""

    def __init__(self, parts: AdminParts) -> None:
        super().__init__(parts)
        self._readers = 0

    async def ReadLogs(  # type: ignore[override]  # a coroutine that writes; see RunnerRegistry.Attach
        self, request: admin_pb2.ReadLogsRequest, context: Context
    ) -> None:
        try:
            if request.tail_lines > TAIL_LINES_MAX:
                raise InvalidRequestError(f"tail_lines: must be 0 to {TAIL_LINES_MAX}, got {request.tail_lines}")
            if self._readers >= READERS_MAX:
                raise NoRoomError(f"{READERS_MAX} logs are read already; end one, and try again")
            target = await self._target(request.target)
            target.build_only = request.build_only
        except ControllerError as error:
            await refuse(context, error)
        self._readers += 1
        try:
            async for response in self._read(target, request):
                await context.write(response)
        finally:
            self._readers -= 1

    async def _read(
        self, target: _Target, request: admin_pb2.ReadLogsRequest
    ) -> AsyncIterator[admin_pb2.ReadLogsResponse]:
        await self._scan(target)
        for origin, tail in target.tails.items():
            lines = await asyncio.to_thread(tail.last_lines, request.tail_lines or TAIL_LINES_DEFAULT)
            for response in _responses(origin, lines if request.follow else [*lines, *tail.unfinished()]):
                yield response
        looks = quiet = 0
        while request.follow and not self._is_ending:
            looks += 1
            if looks % LOOKS_PER_SCAN == 0:
                await self._scan(target)
            found = await asyncio.to_thread(lambda: [(o, tail.new_lines()) for o, tail in target.tails.items()])
            for origin, lines in found:
                for response in _responses(origin, lines):
                    yield response
            if any(lines for _, lines in found):
                quiet = 0
                continue
            quiet += 1
            if quiet >= QUIET_LOOKS and self._is_over(target):
                break
            await asyncio.sleep(LOOK_S)
        for origin, tail in target.tails.items() if request.follow else ():
            for response in _responses(origin, tail.unfinished()):
                yield response

    async def _target(self, text: str) -> _Target:
        world = self._parts.reconciler.world
        known = owners(self._alive(), await asyncio.to_thread(written_at, self._parts.log_dir))
        if text in known:
            return _Target(known[text], text)
        try:
            return _Target(find_deployment(text, world.deployments.values()).deployment_id)
        except NotFoundError:
            (replica_id,) = find_replicas(text, known, ())
            return _Target(known[replica_id], replica_id)

    async def _scan(self, target: _Target) -> None:
        """Adds the logs that are there now. Those that are found later are read from their beginning."""
        log_dir: Path = self._parts.log_dir
        if not target.replica_id:
            target.tails.setdefault(BUILD, LogTail(log_dir / build_log_name(target.deployment_id)))
        if target.build_only:
            return
        if target.replica_id:
            replicas = [target.replica_id]
        else:
            alive = [r for r, owner in self._alive().items() if owner == target.deployment_id]
            replicas = shown_replicas(target.deployment_id, alive, await asyncio.to_thread(written_at, log_dir))
        for replica_id in replicas:
            target.tails.setdefault(replica_id, LogTail(log_file(log_dir, replica_id)))

    def _alive(self) -> dict[str, str]:
        return {r.replica_id: r.deployment_id for r in self._parts.reconciler.world.registry.replicas()}

    def _is_over(self, target: _Target) -> bool:
        """Whether nobody will write any more."""
        world = self._parts.reconciler.world
        if target.replica_id:
            return world.registry.replica(target.replica_id) is None
        deployment = world.deployments.get(target.deployment_id)
        if deployment is None:
            return True
        return target.build_only and deployment.build.state not in (BuildState.WAITING, BuildState.RUNNING)


def _responses(origin: str, lines: list[str]) -> Iterator[admin_pb2.ReadLogsResponse]:
    """Puts lines into messages that are not too large."""
    part: list[str] = []
    size = 0
    for line in lines:
        if part and (len(part) >= LINES_PER_MESSAGE or size + len(line) > BYTES_PER_MESSAGE):
            yield admin_pb2.ReadLogsResponse(origin=origin, lines=part)
            part, size = [], 0
        part.append(line)
        size += len(line)
    if part:
        yield admin_pb2.ReadLogsResponse(origin=origin, lines=part)
