"""The environment to which a deployment is promoted, as its model learns of it (truss.md section 2.1).

It stands in a file as a JSON object, for example {"name": "production"}. A model that has `setup_environment` is told
before `load`, and again when the file changes.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import structlog

from penstock_runner.model.loaded import LoadedModel, format_user_traceback
from penstock_runner.model.solo_call import SoloCall

FILE_VARIABLE = "PENSTOCK_ENVIRONMENT_FILE"
"""Path of the file; absent or empty means FILE_DEFAULT."""
FILE_DEFAULT = Path("/etc/b10_dynamic_config/environment")
FILE_BYTES_MAX = 1024 * 1024
"""A larger file is no description of an environment."""
INTERVAL_S = 30.0
"""Time between two looks at the file, as in a Truss server."""
SETUP_S = 300.0
"""Time after which a `setup_environment` that has not returned is logged. It is waited for all the same: two of them at
once are more than a model can expect."""

_log = structlog.get_logger("runner")


class EnvironmentFileError(ValueError):
    """The file does not say what the environment is; the text says why."""


def environment_file(variables: Mapping[str, str] = os.environ) -> Path:
    """Returns where the environment of this process is written down."""
    return Path(variables.get(FILE_VARIABLE) or FILE_DEFAULT)


def read_environment(path: Path) -> dict[str, Any] | None:
    """Returns the content of the file; None when there is no such file, or nothing in it.

    Raises:
        EnvironmentFileError: It cannot be read, or holds no JSON object.
    """
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as exc:
        raise EnvironmentFileError(f"{path}: cannot be read: {exc.strerror or exc}") from None
    if len(content) > FILE_BYTES_MAX:
        raise EnvironmentFileError(f"{path}: has more than {FILE_BYTES_MAX} bytes")
    if not content.strip():
        return None
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as exc:
        raise EnvironmentFileError(f"{path}: is not JSON: {exc}") from None
    if value is not None and not isinstance(value, dict):
        raise EnvironmentFileError(f"{path}: must hold a JSON object such as {{'name': 'production'}}")
    return value


def first_environment(path: Path, name: str | None) -> dict[str, Any] | None:
    """Returns what the model gets before `load`: what the file says, else {"name": name}, else None.

    A file that cannot be used is logged, and counts as absent.
    """
    try:
        found = read_environment(path)
    except EnvironmentFileError as exc:
        _log.warning("environment_file_ignored", problem=str(exc))
        found = None
    if found is not None:
        return found
    return None if name is None else {"name": name}


class EnvironmentWatch:
    """Tells the model when its environment has changed. A failure is logged and changes nothing.

    Args:
        model: Returns the model as it is now; a hot reload may change it.
        known: The environment that the model was told before `load`.
    """

    def __init__(
        self,
        path: Path,
        model: Callable[[], LoadedModel],
        known: Mapping[str, Any] | None,
        *,
        interval_s: float = INTERVAL_S,
        setup_s: float = SETUP_S,
    ) -> None:
        self._path = path
        self._model = model
        self._known = None if known is None else dict(known)
        self._next: dict[str, Any] | None = None
        self._interval_s = interval_s
        self._setup_s = setup_s
        self._version: tuple[int, int, int] | None = None
        self._call = SoloCall("setup_environment")

    async def run(self) -> None:
        """Looks for ever; cancel it to stop."""
        try:
            while True:
                await asyncio.sleep(self._interval_s)
                await self.look()
        finally:
            self._call.cancel()

    async def look(self) -> None:
        """Looks at the file once, and has the model set up what is new."""
        model = self._model()
        method = getattr(model.instance, "setup_environment", None)
        if method is None:
            return
        if not self._call.is_running:
            changed = self._changed()
            if changed is None:
                return
            self._next = changed
            _log.info("Executing model.setup_environment...", environment=changed.get("name"))
        assert self._next is not None
        answer = await self._call.ask(method, deepcopy(self._next), timeout_s=self._setup_s)
        if answer is None:
            _log.warning("environment_setup_slow", after_s=self._setup_s, environment=self._next.get("name"))
        elif answer.error is not None:
            trace = format_user_traceback(answer.error, model.model_file)
            _log.error("environment_setup_failed", environment=self._next.get("name"), exception=trace)
        else:
            self._known = self._next

    def _changed(self) -> dict[str, Any] | None:
        """Returns the environment when the file has changed and says a new one."""
        try:
            stat = self._path.stat()
        except OSError:
            return None
        version = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
        if version == self._version:
            return None
        self._version = version
        try:
            found = read_environment(self._path)
        except EnvironmentFileError as exc:
            _log.warning("environment_file_ignored", problem=str(exc))
            return None
        return None if found is None or found == self._known else found
