"""A loaded model from its first request on: health checks, changes of its environment, new code."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from penstock.truss import TrussConfig
from penstock_runner.environment_watch import EnvironmentWatch, environment_file
from penstock_runner.health import HealthThresholds
from penstock_runner.health_monitor import HealthMonitor
from penstock_runner.model.definition import EXTRA_METHODS
from penstock_runner.model.errors import HotReloadError
from penstock_runner.model.loaded import LoadedModel
from penstock_runner.model.reloading import reload_model
from penstock_runner.predict.app import RequestApp

_log = structlog.get_logger("runner")


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What became of an attempt to take up new code."""

    is_done: bool
    message: str = ""
    """Why not, for people."""
    needs_restart: bool = False
    """The new code cannot take over what the old has loaded."""


class ModelLife:
    """The model of a replica. Loop thread only.

    Args:
        environment: what the model was told before `load`.
        on_traffic: called with whether the model is healthy enough for new calls, when that changes.
        on_restart: called with the reason when the replica is to be replaced.
    """

    def __init__(
        self,
        model: LoadedModel,
        directory: Path,
        config: TrussConfig,
        environment: Mapping[str, Any] | None,
        *,
        on_traffic: Callable[[bool], None],
        on_restart: Callable[[str], None],
    ) -> None:
        self.model = model
        self.app = RequestApp(model, config)
        self._directory = directory
        self._config = config
        self._monitor = HealthMonitor(
            lambda: self.model,
            HealthThresholds.of(config.health_checks),
            on_traffic=on_traffic,
            on_restart=on_restart,
        )
        self._watch = EnvironmentWatch(environment_file(), lambda: self.model, environment)
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def note(self) -> str:
        """What is wrong with the model, for people; "" when nothing is. Any thread."""
        return self._monitor.note

    @property
    def endpoints(self) -> tuple[str, ...]:
        """What the model can be called by."""
        definition = self.model.definition
        names = ("websocket", "predict", *EXTRA_METHODS)
        return tuple(name for name in names if getattr(definition, name) is not None)

    async def wait_healthy(self) -> None:
        """Returns when the model says that it is healthy; the caller sets the limit."""
        await self._monitor.wait_healthy()

    def start(self) -> None:
        """Watches health and environment from now on."""
        loop = asyncio.get_running_loop()
        self._tasks = [
            loop.create_task(self._monitor.run(), name="health"),
            loop.create_task(self._watch.run(), name="environment"),
        ]

    def stop(self) -> None:
        """Ends the watching."""
        for task in self._tasks:
            task.cancel()

    async def reload(self) -> Reloaded:
        """Imports the code anew. When it is good, `model` and `app` are new; those in use go on with the old."""
        try:
            model = await asyncio.to_thread(reload_model, self.model, self._directory, self._config)
        except HotReloadError as exc:
            _log.warning("model_not_reloaded", reason=exc.message, needs_restart=exc.needs_restart)
            return Reloaded(False, exc.report(), exc.needs_restart)
        self.model = model
        self.app = self.app.with_model(model)
        _log.info("model_reloaded")
        return Reloaded(True)
