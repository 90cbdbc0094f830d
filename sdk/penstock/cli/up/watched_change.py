"""What a saved file asks for: nothing, new code in the running replicas, or a new deployment. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import IntEnum
from pathlib import PurePosixPath

from penstock.truss import CONFIG_NAME, TrussConfig

SETTLED_S = 0.05
"""Time without a further change after which a save is taken to be whole."""
UNSETTLED_MAX_S = 0.5
"""Changes that follow one another for longer are acted upon all the same."""


class Effect(IntEnum):
    """What has to be done, the larger for the smaller."""

    NOTHING = 0
    RELOAD = 1
    REDEPLOY = 2


@dataclass(frozen=True, slots=True)
class Layout:
    """Which paths of a Truss directory mean what; folders end with "/"."""

    code: tuple[str, ...]
    environment: frozenset[str]
    """Files that say what has to be installed."""

    @classmethod
    def of(cls, config: TrussConfig, others: Iterable[str] = ()) -> Layout:
        """Reads it from config.yaml; `others` are absolute folders of external packages."""
        folders = (config.model_module_dir, config.bundled_packages_dir, *others)
        code = tuple(f"{PurePosixPath(folder)!s}/" for folder in folders)
        files = {CONFIG_NAME, *([config.requirements_file] if config.requirements_file else [])}
        for line in config.requirements:
            words = line.split()
            # `-r more.txt` and `-c pins.txt` name files of the directory.
            if len(words) == 2 and words[0] in ("-r", "-c"):
                files.add(words[1])
        return cls(code, frozenset(str(PurePosixPath(name)) for name in files))

    def effect(self, paths: Iterable[str]) -> Effect:
        """Returns what these changes ask for together."""
        return max((self._effect(path) for path in paths), default=Effect.NOTHING)

    def _effect(self, path: str) -> Effect:
        if path in self.environment:
            return Effect.REDEPLOY
        return Effect.RELOAD if path.startswith(self.code) else Effect.NOTHING


class Settling:
    """Gathers changes until they have settled: editors save in several steps, and several files at once."""

    def __init__(self) -> None:
        self._paths: set[str] = set()
        self._first_at = 0.0
        self._last_at = 0.0

    def add(self, paths: Collection[str], now: float) -> None:
        """Notes changes that were seen at `now`, in seconds."""
        if not paths:
            return
        if not self._paths:
            self._first_at = now
        self._last_at = now
        self._paths.update(paths)

    def take(self, now: float) -> frozenset[str]:
        """Returns the changes that have settled, and forgets them; empty while there are none."""
        if not self._paths or (now - self._last_at < SETTLED_S and now - self._first_at < UNSETTLED_MAX_S):
            return frozenset()
        taken = frozenset(self._paths)
        self._paths.clear()
        return taken


def named(paths: Collection[str], shown_max: int = 2) -> str:
    """Names the changed files for people."""
    names = sorted(paths)
    shown = ", ".join(names[:shown_max])
    return shown if len(names) <= shown_max else f"{shown} and {len(names) - shown_max} more"
