"""What the end of a replica's process means."""

from __future__ import annotations

import signal

from penstock_controller.actuators.base import NoFreeGpuError, ReplicaExit, StartError
from penstock_controller.records import ReplicaState
from penstock_controller.replica import Replica
from penstock_controller.restarts import ExitKind

LOAD_FAILURE_STATUS = 1
"""Exit status of a runner whose model cannot be loaded."""

USAGE_STATUS = 2
"""Exit status of a runner that does not understand its command line: it never comes to load the model."""


def judge_exit(replica: Replica | None, ended: ReplicaExit) -> tuple[ExitKind, str]:
    """Tells whether the model could not be loaded or the replica crashed, and says so for people."""
    reported = None if replica is None else replica.report
    if reported is not None and reported.state is ReplicaState.FAILED:
        return ExitKind.LOAD_FAILURE, reported.message or describe(ended)
    was_ready = replica is not None and replica.ready_at is not None
    text = describe(ended)
    if not was_ready:
        text += " before its model was loaded"
    if ended.status == -signal.SIGKILL:
        text += _memory_hint(replica)
    if ended.status in (LOAD_FAILURE_STATUS, USAGE_STATUS) and not was_ready:
        return ExitKind.LOAD_FAILURE, _with_output(text, ended.output_tail)
    return ExitKind.CRASH, text if was_ready else _with_output(text, ended.output_tail)


def judge_start(error: StartError) -> ExitKind:
    """Tells what a start that came to nothing means for its place."""
    return ExitKind.NO_FREE_GPU if isinstance(error, NoFreeGpuError) else ExitKind.LOAD_FAILURE


def describe(ended: ReplicaExit) -> str:
    """Says how the process ended."""
    if ended.status is None:
        return "the process has ended"
    if ended.status >= 0:
        return f"the process ended with status {ended.status}"
    try:
        return f"the process was ended by {signal.Signals(-ended.status).name}"
    except ValueError:
        return f"the process was ended by signal {-ended.status}"


def _with_output(text: str, output: str) -> str:
    # What is short of room shows the last line.
    return f"the end of its output:\n{output.rstrip()}\n{text}" if output.strip() else text


def _memory_hint(replica: Replica | None) -> str:
    resident = 0 if replica is None or replica.report is None else replica.report.resident_bytes
    had = f"; it had {resident >> 20} MiB at its last status" if resident else ""
    return f" (the kernel does that when memory runs out{had})"
