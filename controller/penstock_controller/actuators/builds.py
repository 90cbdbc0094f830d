"""What every engine of builds offers: prepare a deployment in a process of its own, and tell how that ended."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class BuildSpec:
    """A deployment that is to be prepared."""

    deployment_id: str
    source: str
    """Absolute path of the Truss directory."""


@dataclass(frozen=True, slots=True)
class BuildEnd:
    """A build has ended."""

    deployment_id: str
    error: str = ""
    """Why it failed, for people; empty when it did not."""
    python: str = ""
    """Interpreter for runners; empty for the platform's own."""
    problems: tuple[str, ...] = ()
    """What is doubtful, for people."""
    was_cut: bool = False
    """It ended before it had a result, and not by itself: it is to be run again."""


BuildListener = Callable[[BuildEnd], None]


class BuildEngine(Protocol):
    """Runs builds. All calls come from one event loop."""

    async def open(self, on_end: BuildListener) -> None:
        """Takes over the builds that an earlier life of the controller has started. `on_end` is called once per build,
        also for those that ended meanwhile."""
        ...

    def running(self) -> Collection[str]:
        """Returns the deployments whose builds run."""
        ...

    def start(self, spec: BuildSpec) -> None:
        """Starts a build; does nothing while one of the same deployment runs. Failure to start comes as its end."""
        ...

    def stop(self, deployment_id: str) -> None:
        """Ends a build; its end comes soon."""
        ...

    def forget(self, deployment_id: str, source: str | None) -> None:
        """Deletes what is kept of a deployment: its log, and its claim on the cache.

        Args:
            source: its directory, whose weights nobody uses any more; None when another deployment has the same one.
        """
        ...

    async def close(self) -> None:
        """Stops watching. Builds go on."""
        ...
