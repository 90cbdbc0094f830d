"""Names processes of this machine for good: a pid alone may by now belong to another process."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from penstock.state_dir import write_atomically

_RECORD = re.compile(r"\.?(?P<replica>.+?)(\.spawn)?\.json(\..*)?")
"""Files of the run folder: "x.json", "x.spawn.json", or one that is being written, ".x.json.k2j5h3l1". Ids of replicas
may have dots."""


@dataclass(frozen=True, slots=True)
class ProcessName:
    """A process: pid together with its start time in clock ticks since boot."""

    pid: int
    start_ticks: int

    def is_alive(self) -> bool:
        """Tells whether this very process exists and is no zombie."""
        return read_start_ticks(self.pid) == self.start_ticks


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What is on disk about the process of a replica."""

    replica_id: str
    deployment_id: str
    process: ProcessName
    address: str = ""
    """Where its trunk listens; empty until it does."""
    gpus: str = ""
    """The GPUs that were assigned to it, as CUDA_VISIBLE_DEVICES names them."""


def read_start_ticks(pid: int) -> int | None:
    """Returns field 22 of /proc/PID/stat; None when there is no such process, or it is a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
    except OSError:
        return None
    # Field 2 is the name in parentheses and may itself hold spaces and parentheses.
    fields = text[text.rindex(")") + 2 :].split()
    return None if fields[0] in "ZX" else int(fields[19])


def open_pidfd(process: ProcessName) -> int | None:
    """Returns a descriptor of this very process that becomes readable when it ends; None when it is gone.

    Raises:
        OSError: The kernel offers no pidfd, or there are too many descriptors.
    """
    try:
        fd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return None
    # In this order: once the descriptor is open the pid cannot be given to another process behind our back.
    if not process.is_alive():
        os.close(fd)
        return None
    return fd


def write_spawn_record(run_dir: Path, record: RunRecord) -> None:
    """Written by the controller right after the start; the runner writes its own file later, with its address."""
    content = {
        "replica_id": record.replica_id,
        "deployment_id": record.deployment_id,
        "pid": record.process.pid,
        "pid_start_ticks": record.process.start_ticks,
        "gpus": record.gpus,
    }
    write_atomically(run_dir / f"{record.replica_id}.spawn.json", json.dumps(content) + "\n")


def delete_records(run_dir: Path, replica_id: str) -> None:
    for name in (f"{replica_id}.spawn.json", f"{replica_id}.json"):
        (run_dir / name).unlink(missing_ok=True)


def delete_other_records(run_dir: Path, alive: Collection[str]) -> None:
    """Deletes all that is in the folder of replicas that do not live, damaged and half-written records included."""
    for path in run_dir.iterdir():
        record = _RECORD.fullmatch(path.name)
        if record is not None and record["replica"] not in alive:
            path.unlink(missing_ok=True)


def read_records(run_dir: Path) -> dict[str, RunRecord]:
    """Returns the newest record of every replica that has one, whether its process lives or not."""
    found: dict[str, RunRecord] = {}
    # "x.json" sorts before "x.spawn.json"; the runner's own file knows more, so it is read last.
    for path in sorted(run_dir.glob("*.json"), reverse=True):
        record = _read(path)
        if record is not None and not path.name.startswith("."):
            earlier = found.get(record.replica_id)
            if earlier is not None and earlier.process == record.process:
                # All but this: only who started the runner knows which GPUs it gave it.
                record = replace(record, gpus=record.gpus or earlier.gpus)
            found[record.replica_id] = record
    return found


def live_records(run_dir: Path) -> list[RunRecord]:
    """Returns the records of replicas whose processes are alive."""
    return [record for record in read_records(run_dir).values() if record.process.is_alive()]


def _read(path: Path) -> RunRecord | None:
    try:
        content = json.loads(path.read_text("utf-8"))
        process = ProcessName(int(content["pid"]), int(content["pid_start_ticks"]))
        return RunRecord(
            str(content["replica_id"]),
            str(content["deployment_id"]),
            process,
            str(content.get("address", "")),
            str(content.get("gpus", "")),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
