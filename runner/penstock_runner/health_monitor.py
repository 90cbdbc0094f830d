"""Asks the model whether it is healthy, every INTERVAL_S (truss.md section 2.7). What follows, health.py decides."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from penstock_runner.health import Health, HealthThresholds
from penstock_runner.model.loaded import LoadedModel, format_user_traceback
from penstock_runner.model.solo_call import SoloCall

INTERVAL_S = 10.0
"""Time between two checks, as at Baseten (truss.md section 2.7)."""
STARTUP_PAUSE_S = 1.0
"""Time between the first two checks of a model that has just been loaded, because clients wait for it; it doubles up to
INTERVAL_S."""
ANSWER_S = 10.0
"""Time for an answer; then the check counts as failed. A late answer counts when it comes."""

_log = structlog.get_logger("runner")


class HealthMonitor:
    """Checks of one replica's model. Everything happens on the event loop, but sync checks in a thread.

    Args:
        model: Returns the model as it is now; a hot reload may change it.
        on_traffic: Called with whether new calls are admitted, when that changes; True at first.
        on_restart: Called with the reason once the model has failed for too long; once until it is healthy again.
    """

    def __init__(
        self,
        model: Callable[[], LoadedModel],
        thresholds: HealthThresholds,
        *,
        on_traffic: Callable[[bool], None],
        on_restart: Callable[[str], None],
        interval_s: float = INTERVAL_S,
        answer_s: float = ANSWER_S,
    ) -> None:
        self._model = model
        self._health = Health(thresholds)
        self._on_traffic = on_traffic
        self._on_restart = on_restart
        self._interval_s = interval_s
        self._answer_s = answer_s
        self._call = SoloCall("is_healthy")
        self._asked: LoadedModel | None = None
        self._loop = asyncio.get_running_loop()

    @property
    def note(self) -> str:
        """The state in a few words for operators; "" when all is well. May be read from any thread."""
        return self._health.note

    async def wait_healthy(self) -> None:
        """Returns when the model has answered that it is healthy: it is ready only then. The caller sets the limit."""
        pause_s = min(STARTUP_PAUSE_S, self._interval_s)
        while not await self._check():
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, self._interval_s)

    async def run(self) -> None:
        """Checks for ever; cancel it to stop."""
        try:
            while True:
                await asyncio.sleep(self._interval_s)
                self._observe(await self._check())
        finally:
            self._call.cancel()

    def _observe(self, is_healthy: bool) -> None:
        was_failing = self._health.is_failing
        effects = self._health.observe(is_healthy, self._loop.time())
        if was_failing and is_healthy:
            _log.info("model_healthy_again")
        if effects.traffic is not None:
            if not effects.traffic:
                _log.warning("model_out_of_traffic", reason=self.note)
            self._on_traffic(effects.traffic)
        if effects.restart_reason is not None:
            _log.error("model_restart_due", reason=effects.restart_reason)
            self._on_restart(effects.restart_reason)

    async def _check(self) -> bool:
        model = self._model()
        if self._asked is not model:
            self._call.cancel()
            self._asked = model
        method = getattr(model.instance, "is_healthy", None)
        if method is None:
            return True
        answer = await self._call.ask(method, timeout_s=self._answer_s)
        if answer is None:
            _log.warning("Health check failed.", reason=f"`is_healthy` has not answered within {self._answer_s:g} s")
            return False
        error = answer.error
        if error is None:
            try:
                if answer.value:
                    return True
            except Exception as exc:  # an array has no truth value
                error = exc
        if error is None:
            _log.warning("Health check failed.", reason=f"`is_healthy` returned {answer.value!r:.100}")
        else:
            _log.warning("Health check failed.", exception=format_user_traceback(error, model.model_file))
        return False
