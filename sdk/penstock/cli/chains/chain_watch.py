"""Brings what is saved beside a chain's file into the platform that serves the chain.

After a save the file is imported anew, in a process of its own, and the Trusses of its chainlets are written again.
Code that the loaded chainlets can take over is imported anew in the running replicas. Anything else becomes a new
version of the whole chain, which takes the place of the old one as soon as all of it is ready.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from penstock.api.control.v1 import chain_pb2
from penstock.chains.chain_file import ChainFile
from penstock.chains.generated import GeneratedChain
from penstock.chains.generation import Generation, GenerationError, generate
from penstock.cli.chains.chain_change import effect_of
from penstock.cli.chains.deploying import spec_of
from penstock.cli.up.admin import ChainVersion, ReloadOutcome
from penstock.cli.up.log_tail import render_text as render_log_text
from penstock.cli.up.observation import Deployment, Observation
from penstock.cli.up.saved import Save, first_line, indented
from penstock.cli.up.tree_watch import TreeWatch
from penstock.cli.up.watched_change import Effect
from penstock.cli.up.watched_tree import Scan, WatchedTree

LEAVING_LOOK_S = 1.0
"""Time between two looks at whether a version that was replaced still has streams."""
LEAVING_MAX = 16
"""Replaced versions with open streams that are remembered; older ones go by the controller's own rules."""


class Platform(Protocol):
    """What a watch asks of the controller; `Admin` does it."""

    async def observe(self) -> Observation | None: ...

    async def reload(self, deployment_id: str) -> tuple[ReloadOutcome, ...]: ...

    async def create_chain(self, spec: chain_pb2.ChainSpec) -> ChainVersion: ...

    async def set_replicas(self, deployment_id: str, replicas: int | None) -> None: ...

    async def keep(self, deployment_id: str, environment: str) -> None: ...

    async def renew(self, deployment_id: str) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A chain under watch."""

    source: ChainFile
    folder: Path
    """Where its Trusses are written."""
    environment: str
    replicas: int | None = None
    """Fixed number for each chainlet; None has them scaled by load."""


class ChainWatch(TreeWatch):
    """The watch over one chain.

    Args:
        chain: Its Trusses as they were written last.
        version: That serves them, or (`is_coming`) is on its way.
        read: The workspace when they were written: what was edited since is taken over at once.
        note: Shows a text to the user.
        on_version: Called with each new version.
        on_live: Called when a version that was on its way serves.
    """

    def __init__(
        self,
        platform: Platform,
        watched: Watched,
        *,
        chain: GeneratedChain,
        version: ChainVersion,
        is_coming: bool = False,
        read: Scan,
        note: Callable[[str], None],
        on_version: Callable[[ChainVersion], None],
        on_live: Callable[[], Awaitable[None]] | None = None,
        generating: Callable[[ChainFile, Path], Awaitable[Generation]] = generate,
    ) -> None:
        super().__init__()
        self._platform = platform
        self._watched = watched
        self._chain = chain
        self._note = note
        self._on_version = on_version
        self._on_live = on_live
        self._generating = generating
        # The name in addresses stays as long as the watch lasts.
        self._source = replace(watched.source, name=chain.name)
        self._version: ChainVersion | None = None if is_coming else version
        self._coming: _Coming | None = None
        self._leaving: list[ChainVersion] = []
        self._looked_at_leaving = 0.0
        self._owes_version = False
        self._tree = self._make_tree()
        scan = self._tree.scan()
        self._seen = scan.before_edits_since(read)
        if is_coming:
            self._coming = _Coming(version, Save(frozenset({watched.source.file.name}), scan))

    async def _saved(self, paths: frozenset[str], scan: Scan) -> bool:
        await self._take_over(Save(paths, scan))
        return True

    async def _nothing_saved(self, now: float) -> None:
        if self._coming is not None:
            await self._look_at(self._coming)
        elif self._leaving and now - self._looked_at_leaving >= LEAVING_LOOK_S:
            self._looked_at_leaving = now
            await self._let_leave()

    async def _take_over(self, save: Save) -> None:
        try:
            found = await self._generating(self._source, self._watched.folder)
        except GenerationError as exc:
            self._tell(f"{save.names} was not taken over, what was there goes on serving:\n{indented(str(exc))}")
            return
        for warning in found.chain.warnings:
            if warning not in self._chain.warnings:
                self._tell(f"warning: {warning}")
        before, self._chain = self._chain, found.chain
        if found.chain.sources != before.sources:
            self._tree = self._make_tree()
            self._seen = await asyncio.to_thread(self._tree.scan)
        effect = await asyncio.to_thread(effect_of, before, found.chain)
        if effect is Effect.REDEPLOY or self._owes_version or (effect is Effect.RELOAD and self._version is None):
            await self._redeploy(save)
        elif effect is Effect.RELOAD:
            await self._reload(save)

    async def _reload(self, save: Save) -> None:
        if self._coming is not None or self._version is None:
            # A version that is on its way may have read the files before they were saved.
            await self._redeploy(save)
            return
        changed = {each.display_name for each in self._chain.chainlets if each.changed}
        asked = [(name, deployment_id) for name, deployment_id in self._version.chainlets if name in changed]
        answers = await asyncio.gather(*(self._platform.reload(found) for _, found in asked), return_exceptions=True)
        outcomes: list[tuple[str, ReloadOutcome]] = []
        for (name, _), answer in zip(asked, answers, strict=True):
            if isinstance(answer, BaseException):
                raise answer
            outcomes += [(name, outcome) for outcome in answer]
        failed = [(name, outcome) for name, outcome in outcomes if not outcome.is_done]
        needy = next((outcome for _, outcome in failed if outcome.needs_restart), None)
        if needy is not None:
            self._tell(f"{save.names}: {first_line(needy.message)}")
            await self._redeploy(save)
        elif failed:
            self._tell_failed(save, failed)
        elif outcomes:
            self._tell(f"{save.names}: live in {save.age_s:.2f} s")
        else:
            await self._without_replicas(save)

    async def _without_replicas(self, save: Save) -> None:
        observation = await self._platform.observe()
        assert self._version is not None, "who reloads has a version"
        ids = [deployment_id for _, deployment_id in self._version.chainlets]
        found = [item for item in (observation.deployments if observation else ()) if item.deployment_id in ids]
        if any(item.failed or item.starting or item.has_failed for item in found):
            # What they load is not what was saved now.
            await self._redeploy(save)
        else:
            self._tell(f"{save.names}: no replica runs; the next one starts with it")

    async def _redeploy(self, save: Save) -> None:
        self._owes_version = True
        spec = spec_of(self._chain, environment=self._watched.environment, replicas=self._watched.replicas)
        created = await self._platform.create_chain(spec)
        self._owes_version = False
        self._on_version(created)
        given_up, self._coming = self._coming, None
        current = self._version.chain_id if self._version is not None else ""
        if given_up is not None and given_up.version.chain_id not in (created.chain_id, current):
            await self._end(given_up.version)
        if created.chain_id == current:
            await self._return_to_current(save)
            return
        if created.existed:
            # It was sent away before, or failed.
            self._leaving = [each for each in self._leaving if each.chain_id != created.chain_id]
            for _, deployment_id in created.chainlets:
                await self._platform.set_replicas(deployment_id, self._watched.replicas)
        self._coming = _Coming(created, save)
        self._tell(f"{save.names}: starting a new version; the old one serves until all of it is ready")

    async def _return_to_current(self, save: Save) -> None:
        """The files are again as the version that serves began with; its replicas may run other code since."""
        assert self._version is not None, "it has the id of one"
        await self._platform.keep(self._version.entrypoint_id, self._watched.environment)
        is_live = True
        for _, deployment_id in self._version.chainlets:
            outcomes = await self._platform.reload(deployment_id)
            if not all(outcome.is_done for outcome in outcomes):
                is_live = False
                await self._platform.renew(deployment_id)
        self._tell(
            f"{save.names}: live in {save.age_s:.2f} s"
            if is_live
            else f"{save.names}: starting new replicas; open streams finish on the old ones"
        )

    async def _look_at(self, coming: _Coming) -> None:
        observation = await self._platform.observe()
        if observation is None:
            return
        version = coming.version
        ids = {deployment_id: name for name, deployment_id in version.chainlets}
        found = [item for item in observation.deployments if item.deployment_id in ids]
        entrypoint = next((item for item in found if item.deployment_id == version.entrypoint_id), None)
        failed = [item for item in found if item.has_failed]
        if entrypoint is not None and self._watched.environment in entrypoint.environments:
            old, self._version, self._coming = self._version, version, None
            self._tell(f"{coming.save.names}: live in {coming.save.age_s:.1f} s (version {version.chain_id})")
            if old is not None:
                self._leaving = [*self._leaving, old][-LEAVING_MAX:]
            if self._on_live is not None:
                await self._on_live()
        elif failed:
            self._coming = None
            # Before it is told: what is saved in answer to it must not be read by another attempt.
            if self._version is not None:
                await self._platform.keep(self._version.entrypoint_id, self._watched.environment)
            await self._end(version)
            reasons = "\n".join(f"  {ids[item.deployment_id]}:\n{_reason(item)}" for item in failed)
            stays = ", what was there goes on serving" if self._version is not None else ""
            self._tell(f"{coming.save.names} was not taken over{stays}:\n{reasons}")
            self._owes_version = True
        else:
            for item in found:
                problem = item.blocked or (
                    f"building its environment; the log is in {item.build_log_path}" if item.phase == "BUILDING" else ""
                )
                if problem and (item.deployment_id, problem) not in coming.told:
                    coming.told.add((item.deployment_id, problem))
                    self._tell(f"{ids[item.deployment_id]}: {problem}")

    async def _let_leave(self) -> None:
        """Sends away replaced versions without streams: their idle replicas would hold memory and GPUs."""
        observation = await self._platform.observe()
        if observation is None:
            return
        busy = {item.deployment_id for item in observation.deployments if item.active_streams}
        for version in tuple(self._leaving):
            # A stream of the entrypoint may call any of the others, so they go together.
            if not any(deployment_id in busy for _, deployment_id in version.chainlets):
                self._leaving.remove(version)
                await self._end(version)

    async def _end(self, version: ChainVersion) -> None:
        for _, deployment_id in version.chainlets:
            await self._platform.set_replicas(deployment_id, 0)

    def _make_tree(self) -> WatchedTree:
        workspace, *others = self._chain.sources
        return WatchedTree(workspace, others=[other for other in others if not other.is_relative_to(workspace)])

    def _tell_failed(self, save: Save, failed: list[tuple[str, ReloadOutcome]]) -> None:
        # The same mistake fails in every chainlet that has the file.
        names = ", ".join(dict.fromkeys(name for name, _ in failed))
        reports = dict.fromkeys(render_log_text(outcome.message).rstrip() for _, outcome in failed)
        text = "\n".join(indented(report) for report in list(reports)[:3])
        self._tell(f"{save.names} was not taken over by {names}, the old code goes on serving there:\n{text}")

    def _tell(self, text: str) -> None:
        self._note(f"{self._chain.name}: {text}")


def _reason(found: Deployment) -> str:
    return indented(render_log_text(found.message).rstrip() or "it gave no reason")


class _Coming:
    """A version that is to take the place of the one that serves."""

    def __init__(self, version: ChainVersion, save: Save) -> None:
        self.version = version
        self.save = save
        self.told: set[tuple[str, str]] = set()
