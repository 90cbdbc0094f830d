from __future__ import annotations

from dataclasses import replace

import pytest

from penstock_controller.actuators.base import NoFreeGpuError, ReplicaExit, StartError
from penstock_controller.exits import describe, judge_exit, judge_start
from penstock_controller.records import ReplicaState
from penstock_controller.registry import Registry
from penstock_controller.replica import Replica
from penstock_controller.restarts import ExitKind
from penstock_testing.controller_parts import registration, report


def replica(state: ReplicaState, message: str = "") -> Replica:
    registry = Registry(epoch=1, now=0.0)
    registry.attach(registration("r1", state=state), 1, 0.0)
    registry.report("r1", 1, report(2, state, message=message), 0.0)
    return registry.replicas()[0]


def test_reported_failure_is_a_load_failure_with_its_message() -> None:
    judged = judge_exit(replica(ReplicaState.FAILED, "no weights"), ReplicaExit("r1", None, "log"))

    assert judged == (ExitKind.LOAD_FAILURE, "no weights")


def test_status_one_before_ready_is_a_load_failure_with_the_end_of_the_log() -> None:
    kind, message = judge_exit(replica(ReplicaState.STARTING), ReplicaExit("r1", 1, "last words"))

    assert kind is ExitKind.LOAD_FAILURE
    assert "status 1" in message
    assert "last words" in message
    assert message.endswith("the process ended with status 1 before its model was loaded")


def test_memory_that_ran_out_is_hinted_at() -> None:
    kind, message = judge_exit(replica(ReplicaState.READY), ReplicaExit("r1", -9))

    assert kind is ExitKind.CRASH
    assert "when memory runs out)" in message
    known = replica(ReplicaState.READY)
    assert known.report is not None
    known.report = replace(known.report, resident_bytes=3 * 1024**3)
    assert "it had 3072 MiB at its last status" in judge_exit(known, ReplicaExit("r1", -9))[1]
    assert "memory" not in judge_exit(known, ReplicaExit("r1", -11))[1]


def test_status_one_of_a_replica_that_was_ready_is_a_crash() -> None:
    judged = judge_exit(replica(ReplicaState.READY), ReplicaExit("r1", 1, "log"))

    assert judged == (ExitKind.CRASH, "the process ended with status 1")


def test_replica_that_never_attached_shows_the_end_of_its_log() -> None:
    kind, message = judge_exit(None, ReplicaExit("r1", 2, "usage: runner"))

    assert kind is ExitKind.LOAD_FAILURE
    assert "usage: runner" in message


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (None, "the process has ended"),
        (0, "the process ended with status 0"),
        (-9, "the process was ended by SIGKILL"),
        (-64, "the process was ended by SIGRTMAX"),
        (-99, "the process was ended by signal 99"),
    ],
)
def test_end_is_told_in_words(status: int | None, text: str) -> None:
    assert describe(ReplicaExit("r1", status)) == text


def test_start_without_a_free_gpu_only_has_to_wait() -> None:
    assert judge_start(NoFreeGpuError("no free GPU")) is ExitKind.NO_FREE_GPU
    assert judge_start(StartError("no such folder")) is ExitKind.LOAD_FAILURE
