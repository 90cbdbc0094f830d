"""The JSON forms are an interface: keys may be added, and keep their names. How to take new text:
penstock_testing.golden."""

from __future__ import annotations

import json
from typing import Any

import yaml

from penstock.api.control.v1 import admin_pb2
from penstock_controller.cli.quantities import to_duration
from penstock_controller.cli.render import documents
from penstock_testing import status_messages as messages
from penstock_testing.golden import assert_golden

KEYS_OF_ISSUE_2 = {
    "": {"apiVersion", "kind", "verdict", "controller", "deployments", "replicas", "edges"},
    "controller": {
        "id", "epoch", "version", "pid", "started_at", "recovering", "address", "state_dir", "actuator",
        "snapshot_version",
    },
    "deployments": {
        "name", "id", "environment", "environments", "replicas", "streams", "last_decision", "source", "message",
    },
    "replicas": {
        "id", "deployment_id", "state", "suspect", "cordoned", "streams", "pid", "address", "status_age", "started_at",
        "restarts", "event_loop_lag", "resident_bytes", "log_path", "next_start_at", "message",
    },
    "edges": {
        "id", "pid", "http_address", "grpc_address", "streams", "snapshot", "status_age", "draining", "started_at",
    },
}  # fmt: skip
"""Keys that programs may rely on since the first version."""


def full() -> admin_pb2.GetStatusResponse:
    status = messages.healthy()
    status.replicas.append(messages.empty_place("ccccc"))
    return status


def test_golden_status() -> None:
    assert_golden("status_json", documents.to_json(documents.status_document(full())) + "\n")


def test_golden_yaml() -> None:
    assert_golden("status_yaml", documents.to_yaml(documents.status_document(full())) + "\n")


def test_golden_explanation() -> None:
    assert_golden("explain_json", documents.to_json(documents.explanation_document(messages.explanation())) + "\n")


def test_keys_of_the_first_version_are_still_there() -> None:
    document = documents.status_document(full())

    assert KEYS_OF_ISSUE_2[""] <= document.keys()
    for part, keys in KEYS_OF_ISSUE_2.items():
        if part:
            first = document[part][0] if isinstance(document[part], list) else document[part]
            assert keys <= first.keys(), part


def test_yaml_and_json_say_the_same() -> None:
    document = documents.status_document(full())

    assert yaml.safe_load(documents.to_yaml(document)) == json.loads(documents.to_json(document)) == document
    assert json.loads(documents.to_json_line(document)) == document
    assert "\n" not in documents.to_json_line(document)


def test_unknown_values_are_null() -> None:
    status = messages.healthy()
    status.deployments[0].ClearField("last_decision")
    del status.deployments[0].environments[:]

    (deployment,) = documents.deployments_document(status)["deployments"]

    assert (deployment["environment"], deployment["environments"], deployment["last_decision"]) == (None, [], None)
    assert (deployment["replicas"]["manual"], deployment["streams_end_at"]) == (None, None)


def test_fixed_number_of_zero_is_not_absent() -> None:
    assert documents.deployment_document(messages.deployment(manual_replicas=0))["replicas"]["manual"] == 0


def test_passing_time_is_no_change() -> None:
    def lasting(status: admin_pb2.GetStatusResponse) -> Any:
        return documents.lasting(documents.status_document(status))

    before = messages.healthy()
    before.deployments[0].blocked = "next removal possible in 43 s"
    later = messages.healthy()
    later.deployments[0].blocked = "next removal possible in 42.5 s"
    later.controller.snapshot_age.CopyFrom(to_duration(9))
    later.replicas[0].status_age.CopyFrom(to_duration(1.9))
    later.replicas[1].event_loop_lag.CopyFrom(to_duration(0.3))
    later.edges[0].status_age.CopyFrom(to_duration(1.9))
    busier = messages.healthy()
    busier.replicas[0].active_streams += 1
    full = messages.healthy()
    full.deployments[0].blocked = "max_replica is 3"

    assert lasting(later) == lasting(before)
    assert lasting(busier) != lasting(messages.healthy())
    assert lasting(full) != lasting(before)
