"""What every engine offers: start a replica, end a replica, tell which ones are there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ReplicaSpec:
    """A replica to be started."""

    replica_id: str
    deployment_id: str
    deployment_name: str
    environment: str
    """First environment that points to the deployment; empty when none does."""
    source: str
    """Absolute path of the Truss directory."""
    gpus: int = 0
    """GPUs that it needs for itself."""
    environment_variables: Mapping[str, str] = field(default_factory=dict)
    """Those of config.yaml; names that belong to Penstock (see process_env) are passed over."""
    python: str = ""
    """Interpreter of its environment; empty for the platform's own."""


@dataclass(frozen=True, slots=True)
class ReplicaProcess:
    """A replica that the engine runs."""

    replica_id: str
    deployment_id: str
    pid: int
    started_wall: float | None = None
    log_path: str = ""
    gpus: str = ""
    """Its GPUs as CUDA_VISIBLE_DEVICES names them; empty when none was assigned."""


@dataclass(frozen=True, slots=True)
class ReplicaExit:
    """The process of a replica has ended."""

    replica_id: str
    status: int | None
    """Exit status; negative for the number of a signal; None when the engine cannot know it."""
    output_tail: str = ""
    """The last lines of its output."""


class StartError(Exception):
    """The engine cannot start a replica; the text says why."""


class NoFreeGpuError(StartError):
    """Every GPU is in use: the replica can be started when another one has ended."""


ExitListener = Callable[[ReplicaExit], None]


class Actuator(Protocol):
    """One engine. All calls come from one event loop."""

    name: str

    async def open(self, on_exit: ExitListener) -> None:
        """Takes over what an earlier life of the controller has started. `on_exit` is called once per ended replica."""
        ...

    async def ensure(self, spec: ReplicaSpec) -> ReplicaProcess:
        """Starts the replica unless it runs already.

        Raises:
            NoFreeGpuError: It must wait for one.
            StartError: It cannot be started.
        """
        ...

    async def stop(self, replica_id: str, *, grace_s: float) -> None:
        """Asks the replica to end, and ends it by force after `grace_s`. Returns when it is gone.

        An unknown replica is gone.
        """
        ...

    def adopt(self, replica_id: str, deployment_id: str, pid: int, start_ticks: int) -> bool:
        """Watches a process that an earlier life started without noting it. Returns False when it cannot be found."""
        ...

    async def may_have_started(self, replica_id: str) -> bool:
        """Tells whether a start may have happened of which `list` shows nothing (a crash in between)."""
        ...

    def log_path(self, replica_id: str) -> str:
        """Returns where the output of the replica is; empty when the engine keeps none."""
        ...

    def check(self, replica_id: str) -> None:
        """Something hints at the end of the replica: look at once, and call `on_exit` if it is gone."""
        ...

    async def close(self) -> None:
        """Stops watching. Replicas go on."""
        ...

    async def list(self) -> Sequence[ReplicaProcess]:
        """Returns every replica that runs."""
        ...
