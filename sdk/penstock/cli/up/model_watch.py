"""Brings what is saved in a Truss directory into the platform that serves it.

Code that can take over the loaded model is imported anew in the running replicas. Anything else becomes a new
deployment, which takes the place of the old one as soon as it is ready; until then the old one serves, and it goes on
serving when the new one fails.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from penstock.cli.up.admin import Created, ReloadOutcome
from penstock.cli.up.log_tail import render_text as render_log_text
from penstock.cli.up.observation import Deployment, Observation
from penstock.cli.up.saved import Save, first_line, indented
from penstock.cli.up.tree_watch import TreeWatch
from penstock.cli.up.watched_change import Effect, Layout
from penstock.cli.up.watched_tree import Scan, WatchedTree
from penstock.truss import ConfigError, TrussConfig, load_config

PRODUCTION = "production"


class Platform(Protocol):
    """What a watch asks of the controller; `Admin` does it."""

    async def observe(self) -> Observation | None: ...

    async def reload(self, deployment_id: str) -> tuple[ReloadOutcome, ...]: ...

    async def create(self, directory: Path, replicas: int | None) -> Created: ...

    async def set_replicas(self, deployment_id: str, replicas: int | None) -> None: ...

    async def keep(self, deployment_id: str) -> None: ...

    async def renew(self, deployment_id: str) -> None: ...


class ModelWatch(TreeWatch):
    """The watch over one model.

    Args:
        name: Of the model.
        directory: Its Truss directory, absolute.
        deployment_id: That serves it now.
        replicas: Fixed number; None has it scaled by load.
        read: The directory when the deployment was made: what was edited since is taken over at once.
        note: Shows a text to the user.
        on_deployment: Called with the id of each new deployment, and the name of its model.
    """

    def __init__(
        self,
        platform: Platform,
        *,
        name: str,
        directory: Path,
        deployment_id: str,
        replicas: int | None,
        read: Scan,
        note: Callable[[str], None],
        on_deployment: Callable[[str, str], None],
    ) -> None:
        super().__init__()
        self._platform = platform
        self._name = name
        self._directory = directory
        self._deployment_id = deployment_id
        self._replicas = replicas
        self._note = note
        self._on_deployment = on_deployment
        self._coming: _Coming | None = None
        self._is_new_name_told = False
        self._layout = Layout((), frozenset())
        self._tree = WatchedTree(directory)
        self._read_layout(load_config(directory))
        self._seen = self._tree.scan().before_edits_since(read)

    async def _saved(self, paths: frozenset[str], scan: Scan) -> bool:
        effect = self._layout.effect(paths)
        if effect is Effect.NOTHING:
            return False
        await self._act(effect, Save(paths, scan))
        return True

    async def _nothing_saved(self, now: float) -> None:
        if self._coming is not None:
            await self._look_at(self._coming)

    async def _act(self, effect: Effect, save: Save) -> None:
        if effect is Effect.REDEPLOY or self._coming is not None:
            # A deployment that is still on its way may have read the files before they were saved.
            await self._redeploy(save)
            return
        outcomes = await self._platform.reload(self._deployment_id)
        done = [outcome for outcome in outcomes if outcome.is_done]
        failed = [outcome for outcome in outcomes if not outcome.is_done]
        if any(outcome.needs_restart for outcome in failed):
            reason = next(outcome.message for outcome in failed if outcome.needs_restart)
            self._tell(f"{save.names}: {first_line(reason)}")
            await self._redeploy(save)
        elif failed:
            self._tell_failed(save, failed[0].message, len(done), len(outcomes))
        elif done:
            self._tell(f"{save.names}: live in {save.age_s:.2f} s")
        else:
            await self._act_without_replicas(save)

    async def _act_without_replicas(self, save: Save) -> None:
        observation = await self._platform.observe()
        found = observation.deployment(self._deployment_id) if observation is not None else None
        if found is not None and PRODUCTION not in found.environments:
            self._tell(
                f"{save.names}: not live, as production points to another deployment, which was pushed or promoted; "
                "start `penstock up` again to serve this folder"
            )
        elif found is not None and not found.failed and not found.starting and not found.has_failed:
            self._tell(f"{save.names}: no replica runs; the next one starts with it")
        else:
            # Its replicas fail or load; what they load is not what was saved now.
            await self._redeploy(save)

    async def _redeploy(self, save: Save) -> None:
        try:
            config = await asyncio.to_thread(load_config, self._directory)
        except ConfigError as exc:
            problems = "\n".join(f"  {problem}" for problem in exc.problems)
            self._tell(f"{save.names} was not taken over, what was there goes on serving:\n{problems}")
            return
        if config.model_name != self._name:
            if not self._is_new_name_told:
                self._tell(f"model_name is {config.model_name} now; start `penstock up` again to serve it by this name")
            self._is_new_name_told = True
            return
        self._is_new_name_told = False
        self._read_layout(config)
        given_up = self._coming
        created = await self._platform.create(self._directory, self._replicas)
        self._on_deployment(created.deployment_id, self._name)
        if given_up is not None and given_up.deployment_id not in (created.deployment_id, self._deployment_id):
            await self._platform.set_replicas(given_up.deployment_id, 0)
        self._coming = None
        if created.deployment_id == self._deployment_id:
            await self._return_to_current(save)
            return
        if created.existed:
            # It was sent away before, or failed.
            await self._platform.set_replicas(created.deployment_id, self._replicas)
        self._coming = _Coming(created.deployment_id, save)
        self._tell(f"{save.names}: starting a new deployment; the old one serves until it is ready")

    async def _return_to_current(self, save: Save) -> None:
        """The files are again as the deployment that serves began with; its replicas may run other code since."""
        await self._platform.keep(self._deployment_id)
        outcomes = await self._platform.reload(self._deployment_id)
        if outcomes and all(outcome.is_done for outcome in outcomes):
            self._tell(f"{save.names}: live in {save.age_s:.2f} s")
            return
        await self._platform.renew(self._deployment_id)
        self._tell(f"{save.names}: starting new replicas; open streams finish on the old ones")

    async def _look_at(self, coming: _Coming) -> None:
        observation = await self._platform.observe()
        found = observation.deployment(coming.deployment_id) if observation is not None else None
        if found is None:
            return
        if PRODUCTION in found.environments:
            old, self._deployment_id, self._coming = self._deployment_id, coming.deployment_id, None
            self._tell(f"{coming.save.names}: live in {coming.save.age_s:.1f} s (deployment {self._deployment_id})")
            # Idle replicas of the old one would hold memory and GPUs; its streams are not cut by this.
            await self._platform.set_replicas(old, 0)
        elif found.has_failed:
            self._coming = None
            # Before it is told: what is saved in answer to it must not be read by another attempt.
            await self._give_up(coming)
            self._tell(f"{coming.save.names} was not taken over, what was there goes on serving:\n{_reason(found)}")
        elif found.blocked and not coming.is_blocked_told:
            coming.is_blocked_told = True
            self._tell(f"the new deployment waits: {found.blocked}")
        elif found.phase == "BUILDING" and not coming.is_building_told:
            coming.is_building_told = True
            self._tell(f"building its environment; the log is in {found.build_log_path}")

    async def _give_up(self, coming: _Coming) -> None:
        """Ends the attempts to start what will not start."""
        await self._platform.keep(self._deployment_id)
        await self._platform.set_replicas(coming.deployment_id, 0)

    def _read_layout(self, config: TrussConfig) -> None:
        others = [(self._directory / entry).resolve() for entry in config.external_package_dirs]
        # Models write there, and weights lie there.
        skipped = [config.data_dir]
        self._layout = Layout.of(config, [str(folder) for folder in others])
        self._tree = WatchedTree(self._directory, skipped=skipped, others=others)

    def _tell_failed(self, save: Save, message: str, done: int, asked: int) -> None:
        where = f" (it runs on {done} of {asked} replicas)" if done else ""
        report = render_log_text(message).rstrip()
        self._tell(f"{save.names} was not taken over, the old code goes on serving{where}:\n{indented(report)}")

    def _tell(self, text: str) -> None:
        self._note(f"{self._name}: {text}")


class _Coming:
    """A deployment that is to take the place of the one that serves."""

    def __init__(self, deployment_id: str, save: Save) -> None:
        self.deployment_id = deployment_id
        self.save = save
        self.is_building_told = False
        self.is_blocked_told = False


def _reason(found: Deployment) -> str:
    return indented(render_log_text(found.message).rstrip() or "it gave no reason")
