from __future__ import annotations

import pytest

from penstock_controller.records import ReplicaState
from penstock_controller.registry import Registry
from penstock_controller.replica import Replica
from penstock_testing.controller_parts import registration, report


class Scene:
    """A ready replica "r1"."""

    def __init__(self) -> None:
        self.registry = Registry(epoch=1, now=0.0)
        self.registry.attach(registration("r1"), 1, 0.0)
        replica = self.registry.replica("r1")
        assert replica is not None
        self.replica: Replica = replica
        self.sequence = 1

    def tell(self, state: ReplicaState, now: float, active: int = 0) -> None:
        self.sequence += 1
        self.registry.report("r1", 1, report(self.sequence, state, active=active), now)


def test_replica_that_was_asked_to_drain_leaves_until_that_is_taken_back() -> None:
    scene = Scene()
    scene.registry.order_drain("r1", 5.0, deadline=65.0)
    assert (scene.replica.state, scene.replica.is_leaving) == (ReplicaState.DRAINING, True)
    assert (scene.replica.drained_at, scene.replica.drain_deadline) == (5.0, 65.0)
    scene.tell(ReplicaState.DRAINING, 6.0)

    scene.registry.take_drain_back("r1")

    # Until the runner has answered it takes no streams, but it does not leave.
    assert (scene.replica.state, scene.replica.is_leaving) == (ReplicaState.DRAINING, False)
    scene.tell(ReplicaState.DRAINING, 7.0)
    assert not scene.replica.is_leaving
    scene.tell(ReplicaState.READY, 8.0)
    assert scene.replica.state is ReplicaState.READY
    assert (scene.replica.drained_at, scene.replica.drain_deadline) == (None, None)
    scene.tell(ReplicaState.DRAINING, 9.0)
    assert (scene.replica.is_leaving, scene.replica.drained_at) == (True, 9.0)


def test_drain_that_is_taken_back_before_the_runner_heard_of_it_leaves_no_trace() -> None:
    scene = Scene()
    scene.registry.order_drain("r1", 5.0)
    scene.registry.take_drain_back("r1")
    assert (scene.replica.state, scene.replica.is_leaving) == (ReplicaState.READY, False)


def test_idle_begins_when_ready_without_streams() -> None:
    scene = Scene()
    assert scene.replica.idle_since == 0.0
    scene.tell(ReplicaState.READY, 3.0)
    assert scene.replica.idle_since == 0.0
    scene.tell(ReplicaState.READY, 4.0, active=1)
    assert scene.replica.idle_since is None
    scene.tell(ReplicaState.READY, 5.0)
    assert scene.replica.idle_since == 5.0


def test_why_it_is_the_last_choice() -> None:
    scene = Scene()
    assert scene.replica.cordon_reason == ""
    scene.registry.set_surplus("r1", True)
    assert scene.replica.cordon_reason == "surplus"
    scene.registry.cordon("r1", True)
    assert scene.replica.cordon_reason == "operator"
    scene.registry.detach("r1", 1)
    assert scene.replica.cordon_reason == "suspect"


@pytest.mark.parametrize("kind", ["cordon", "surplus"])
def test_last_choice_reaches_the_edges_with_a_new_version(kind: str) -> None:
    scene = Scene()
    before = scene.registry.version
    if kind == "cordon":
        scene.registry.cordon("r1", True)
    else:
        scene.registry.set_surplus("r1", True)
    assert scene.registry.version > before
    assert [row.cordoned for row in scene.registry.route_table(0.0).replicas] == [True]
