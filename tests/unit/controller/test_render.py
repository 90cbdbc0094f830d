"""Golden tests: what `controller status` prints is an interface."""

from __future__ import annotations

import json

import pytest

from penstock.api.control.v1 import admin_pb2, control_pb2
from penstock_controller.cli.render import Verdict, age, render_json, render_table, verdict
from penstock_controller.conversion import duration, timestamp

NOW = 1_700_000_000.0


def status() -> admin_pb2.GetStatusResponse:
    return admin_pb2.GetStatusResponse(
        controller=admin_pb2.ControllerStatus(
            controller_id="c0ffee00",
            epoch=3,
            version="0.1.0",
            pid=4242,
            started_at=timestamp(NOW - 3720),
            address="unix:/state/controller.sock",
            state_dir="/state",
            actuator="local",
            snapshot_version=17,
        ),
        deployments=[
            admin_pb2.DeploymentStatus(
                name="echo",
                deployment_id="echo-0a1b2c3d",
                environments=["production", "staging"],
                ready_replicas=1,
                failed_replicas=1,
                target_replicas=2,
                min_replicas=2,
                max_replicas=2,
                active_streams=3,
                stream_capacity=8,
                waiting_streams=1,
                last_decision=admin_pb2.ScaleDecision(
                    rule="fixed",
                    reason="2 replicas were asked for",
                    at=timestamp(NOW - 14),
                    from_replicas=0,
                    to_replicas=2,
                ),
                source="/models/echo",
                message="Traceback\nValueError: no weights",
            )
        ],
        replicas=[
            admin_pb2.ReplicaView(
                replica_id="echo-0a1b2c3d-aaaaa",
                deployment_id="echo-0a1b2c3d",
                state=control_pb2.REPLICA_STATE_READY,
                active_streams=3,
                stream_capacity=8,
                pid=77,
                address="127.0.0.1:7000",
                status_age=duration(0.4),
                started_at=timestamp(NOW - 14),
                event_loop_lag=duration(0.0021),
                log_path="/state/logs/echo-0a1b2c3d-aaaaa.log",
                resident_bytes=1024,
            ),
            admin_pb2.ReplicaView(
                replica_id="echo-0a1b2c3d-bbbbb",
                deployment_id="echo-0a1b2c3d",
                state=control_pb2.REPLICA_STATE_FAILED,
                restarts=2,
                log_path="/state/logs/echo-0a1b2c3d-bbbbb.log",
                message="Traceback\nValueError: gone",
                next_start_at=timestamp(NOW + 2),
            ),
        ],
        edges=[
            admin_pb2.EdgeView(
                edge_id="edge-1",
                pid=88,
                http_address="127.0.0.1:8000",
                active_streams=3,
                waiting_streams=1,
                snapshot_version=17,
                snapshot_epoch=3,
                status_age=duration(0.9),
                started_at=timestamp(NOW - 20),
            )
        ],
    )


TABLE = """\
DEGRADED  controller c0ffee00  epoch 3  version 0.1.0  up 1h2m  actuator local  unix:/state/controller.sock

MODEL  DEPLOYMENT     ENVIRONMENT         READY  STARTING  DRAINING  STREAMS    WAITING  LAST SCALE
echo   echo-0a1b2c3d  production,staging  1/2    0         0         3/8 (37%)  1        0->2 14s ago

REPLICA              STATE   STREAMS    PID  UP   RESTARTS  HEARTBEAT  LOOP LAG  NOTE
echo-0a1b2c3d-aaaaa  ready   3/8 (37%)  77   14s  0         0.4s       2ms       -
echo-0a1b2c3d-bbbbb  failed  0/0        -    -    2         -          -         next start in 2.0s: ValueError: gone

EDGE    HTTP            GRPC  STREAMS  WAITING  SNAPSHOT  HEARTBEAT  STATE
edge-1  127.0.0.1:8000  -     3        1        SYNCED    0.9s       serving

echo: 2 wanted (fixed: 2 replicas were asked for); ValueError: no weights
"""

JSON = {
    "apiVersion": "penstock/v1",
    "kind": "Status",
    "verdict": "DEGRADED",
    "controller": {
        "id": "c0ffee00",
        "epoch": 3,
        "version": "0.1.0",
        "pid": 4242,
        "started_at": "2023-11-14T21:11:20.000Z",
        "recovering": False,
        "address": "unix:/state/controller.sock",
        "state_dir": "/state",
        "actuator": "local",
        "snapshot_version": 17,
    },
    "deployments": [
        {
            "name": "echo",
            "id": "echo-0a1b2c3d",
            "environment": "production",
            "environments": ["production", "staging"],
            "replicas": {"ready": 1, "starting": 0, "draining": 0, "failed": 1, "target": 2, "min": 2, "max": 2},
            "streams": {"active": 3, "capacity": 8, "waiting": 1},
            "last_decision": {
                "rule": "fixed",
                "reason": "2 replicas were asked for",
                "at": "2023-11-14T22:13:06.000Z",
            },
            "source": "/models/echo",
            "message": "Traceback\nValueError: no weights",
        }
    ],
    "replicas": [
        {
            "id": "echo-0a1b2c3d-aaaaa",
            "deployment_id": "echo-0a1b2c3d",
            "state": "ready",
            "suspect": False,
            "cordoned": False,
            "streams": {"active": 3, "capacity": 8},
            "pid": 77,
            "address": "127.0.0.1:7000",
            "status_age": 0.4,
            "started_at": "2023-11-14T22:13:06.000Z",
            "restarts": 0,
            "event_loop_lag": 0.002,
            "resident_bytes": 1024,
            "log_path": "/state/logs/echo-0a1b2c3d-aaaaa.log",
            "next_start_at": None,
            "message": "",
        },
        {
            "id": "echo-0a1b2c3d-bbbbb",
            "deployment_id": "echo-0a1b2c3d",
            "state": "failed",
            "suspect": False,
            "cordoned": False,
            "streams": {"active": 0, "capacity": 0},
            "pid": None,
            "address": None,
            "status_age": None,
            "started_at": None,
            "restarts": 2,
            "event_loop_lag": None,
            "resident_bytes": None,
            "log_path": "/state/logs/echo-0a1b2c3d-bbbbb.log",
            "next_start_at": "2023-11-14T22:13:22.000Z",
            "message": "Traceback\nValueError: gone",
        },
    ],
    "edges": [
        {
            "id": "edge-1",
            "pid": 88,
            "http_address": "127.0.0.1:8000",
            "grpc_address": None,
            "streams": {"active": 3, "waiting": 1},
            "snapshot": {"epoch": 3, "version": 17},
            "status_age": 0.9,
            "draining": False,
            "started_at": "2023-11-14T22:13:00.000Z",
        }
    ],
}


def test_table() -> None:
    assert render_table(status(), now_wall=NOW) == TABLE


def test_json() -> None:
    assert json.loads(render_json(status())) == JSON


def test_json_keeps_its_order_of_keys() -> None:
    assert list(json.loads(render_json(status()))) == list(JSON)


def test_absent_decision_and_environment_are_null() -> None:
    shown = status()
    shown.deployments[0].ClearField("last_decision")
    del shown.deployments[0].environments[:]

    (deployment,) = json.loads(render_json(shown))["deployments"]

    assert (deployment["environment"], deployment["environments"], deployment["last_decision"]) == (None, [], None)


def test_empty_platform_says_what_to_do() -> None:
    shown = admin_pb2.GetStatusResponse(controller=status().controller)

    assert "No deployments. Start one with: penstock up DIRECTORY" in render_table(shown, now_wall=NOW)


def test_silent_replica_and_old_snapshot_are_called_stale() -> None:
    shown = status()
    shown.replicas[0].suspect = True
    shown.replicas[0].status_age.CopyFrom(duration(12))
    shown.edges[0].snapshot_epoch = 2

    table = render_table(shown, now_wall=NOW)

    assert "ready (suspect)" in table
    assert "12s STALE" in table
    assert "STALE (epoch 2)" in table


def changed(**counts: int) -> admin_pb2.GetStatusResponse:
    shown = status()
    shown.deployments[0].failed_replicas = 0
    for key, value in counts.items():
        setattr(shown.deployments[0], key, value)
    return shown


def test_verdict_is_one_word_for_the_whole() -> None:
    recovering = changed(ready_replicas=0)
    recovering.controller.recovering = True

    assert verdict(changed(ready_replicas=2)) is Verdict.HEALTHY
    assert verdict(changed(ready_replicas=1)) is Verdict.DEGRADED
    assert verdict(changed(ready_replicas=0)) is Verdict.UNAVAILABLE
    assert verdict(changed(ready_replicas=0, target_replicas=0)) is Verdict.HEALTHY
    assert verdict(changed(ready_replicas=2, failed_replicas=1)) is Verdict.DEGRADED
    assert verdict(recovering) is Verdict.RECOVERING


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0.0s"), (0.44, "0.4s"), (14.2, "14s"), (59.6, "1m"), (185, "3m"), (18720, "5h12m"), (187200, "2d4h")],
)
def test_age_is_short(seconds: float, text: str) -> None:
    assert age(seconds) == text
