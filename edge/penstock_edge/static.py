"""The snapshot of an edge that serves a fixed set of runners, without a controller."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.api.control.v1 import control_pb2

SLOTS = 1_000_000
"""What is assumed of a runner that nobody reports on; the runner itself still refuses what it cannot take."""


def static_snapshot(runners: Sequence[tuple[str, str]]) -> control_pb2.Snapshot:
    """Builds it from names and addresses. Runners of one name are replicas of one deployment, whose id is the name."""
    names = list(dict.fromkeys(name for name, _ in runners))
    return control_pb2.Snapshot(
        epoch=1,
        version=1,
        deployments=[
            control_pb2.DeploymentRoute(deployment_id=name, name=name, environments=["production"]) for name in names
        ],
        replicas=[
            control_pb2.ReplicaRoute(
                replica_id=f"{name}-{index}",
                deployment_id=name,
                address=address,
                state=control_pb2.REPLICA_STATE_READY,
                stream_capacity=SLOTS,
            )
            for index, (name, address) in enumerate(runners)
        ],
    )
