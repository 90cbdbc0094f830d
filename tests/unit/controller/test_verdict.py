from __future__ import annotations

from typing import Any

import pytest

from penstock.api.control.v1 import admin_pb2
from penstock_controller.cli.quantities import to_duration
from penstock_controller.cli.render.verdict import (
    LAG_VERSIONS_MAX,
    Condition,
    Sync,
    Verdict,
    condition,
    lag,
    sync,
    verdict,
)
from penstock_testing import status_messages as messages


def judged(**changes: Any) -> Verdict:
    status = messages.healthy()
    status.deployments[0].CopyFrom(messages.deployment(**changes))
    return verdict(status)


def test_platform_that_does_what_is_wanted_is_healthy() -> None:
    assert judged() is Verdict.HEALTHY
    assert judged(ready_replicas=0, target_replicas=0) is Verdict.HEALTHY


def test_scaling_in_its_time_is_no_fault() -> None:
    assert judged(ready_replicas=1, starting_replicas=1) is Verdict.HEALTHY
    assert judged(ready_replicas=0, starting_replicas=2, waiting_streams=3) is Verdict.HEALTHY
    assert judged(ready_replicas=3) is Verdict.HEALTHY


def test_failures_and_gaps_degrade() -> None:
    assert judged(ready_replicas=1) is Verdict.DEGRADED
    assert judged(failed_replicas=1) is Verdict.DEGRADED
    assert judged(ready_replicas=1, starting_replicas=1, crash_looping_replicas=1) is Verdict.DEGRADED
    assert judged(waiting_streams=1, blocked="max_replica is 2") is Verdict.DEGRADED


def test_full_deployment_without_waiting_streams_is_healthy() -> None:
    assert judged(blocked="the next removal is possible in 43 s") is Verdict.HEALTHY


def test_deployment_that_does_not_serve_is_unavailable() -> None:
    assert judged(ready_replicas=0) is Verdict.UNAVAILABLE
    assert judged(ready_replicas=0, starting_replicas=1, failed_replicas=1) is Verdict.UNAVAILABLE
    assert judged(ready_replicas=0, starting_replicas=1, crash_looping_replicas=1) is Verdict.UNAVAILABLE


def test_deployment_that_is_being_removed_is_not_judged() -> None:
    assert judged(ready_replicas=0, retired=True) is Verdict.HEALTHY
    assert judged(failed_replicas=1, retired=True) is Verdict.HEALTHY


def test_controller_that_has_not_heard_of_all_cannot_judge() -> None:
    status = messages.healthy()
    status.controller.recovering = True
    status.deployments[0].ready_replicas = 0

    assert verdict(status) is Verdict.RECOVERING
    assert condition(status.deployments[0], recovering=True) is Condition.RECOVERING


def test_silent_replica_or_edge_degrades() -> None:
    status = messages.healthy()
    status.replicas[0].suspect = True
    assert verdict(status) is Verdict.DEGRADED

    status = messages.healthy()
    status.edges[0].snapshot_epoch = 2
    assert verdict(status) is Verdict.DEGRADED


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({}, Condition.OK),
        ({"target_replicas": 0, "ready_replicas": 0}, Condition.AT_ZERO),
        ({"ready_replicas": 0, "starting_replicas": 2}, Condition.STARTING),
        ({"ready_replicas": 1, "starting_replicas": 1}, Condition.SCALING_UP),
        ({"ready_replicas": 3}, Condition.SCALING_DOWN),
        ({"ready_replicas": 1}, Condition.SHORT),
        ({"ready_replicas": 0}, Condition.UNAVAILABLE),
        ({"failed_replicas": 1}, Condition.FAILING),
        ({"failed_replicas": 1, "crash_looping_replicas": 1}, Condition.CRASH_LOOP),
        ({"waiting_streams": 1, "blocked": "max_replica is 2"}, Condition.WAITING),
    ],
)
def test_condition_is_the_worst_that_holds(changes: dict[str, Any], word: Condition) -> None:
    assert condition(messages.deployment(**changes)) is word


@pytest.mark.parametrize(
    ("changes", "word", "behind"),
    [
        ({}, Sync.SYNCED, 0),
        ({"snapshot_version": 15}, Sync.SYNCED, 2),
        ({"snapshot_version": 0, "snapshot_epoch": 0}, Sync.NONE, None),
        ({"snapshot_epoch": 2}, Sync.STALE, None),
        ({"status_age": to_duration(7)}, Sync.STALE, 0),
        ({"snapshot_version": 0, "status_age": to_duration(7)}, Sync.STALE, None),
    ],
)
def test_edge_is_stale_when_it_is_silent_or_follows_another_epoch(
    changes: dict[str, Any], word: Sync, behind: int | None
) -> None:
    edge = messages.edge(**changes)

    assert sync(edge, messages.controller()) is word
    assert lag(edge, messages.controller()) == behind


def test_edge_that_is_far_behind_is_stale() -> None:
    controller = admin_pb2.ControllerStatus(epoch=3, snapshot_version=17 + LAG_VERSIONS_MAX + 1)

    assert sync(messages.edge(), controller) is Sync.STALE


def test_a_build_in_its_time_is_no_fault_and_a_failed_one_is() -> None:
    building: dict[str, Any] = {"ready_replicas": 0, "target_replicas": 1, "phase": "BUILDING"}
    assert judged(**building) is Verdict.HEALTHY
    assert condition(messages.deployment(**building)) is Condition.BUILDING
    failed: dict[str, Any] = building | {"phase": "BUILD_FAILED"}
    assert judged(**failed) is Verdict.UNAVAILABLE
    assert judged(**failed, environments=[]) is Verdict.DEGRADED, "what was pushed beside it serves"
    assert condition(messages.deployment(**failed)) is Condition.BUILD_FAILED


def test_a_model_that_fails_its_health_check_is_named() -> None:
    unhealthy: dict[str, Any] = {"ready_replicas": 0, "target_replicas": 1, "phase": "UNHEALTHY"}
    assert condition(messages.deployment(**unhealthy)) is Condition.UNHEALTHY
    assert judged(**unhealthy) is Verdict.UNAVAILABLE
    assert condition(messages.deployment(**unhealthy, failed_replicas=1)) is Condition.FAILING
