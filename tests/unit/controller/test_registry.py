from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from penstock_controller.errors import DuplicateReplicaError
from penstock_controller.records import ProcessState, ReplicaState, Subscription
from penstock_controller.registry import LEASE_S, LOST_AFTER_LEASES, RECOVERY_MIN_S, Registry
from penstock_testing.controller_parts import deployment, registration, report

EDGE = Subscription("e1", 1, "127.0.0.1:80", "", "0.1.0", None)


@pytest.fixture
def registry() -> Registry:
    return Registry(epoch=3, now=0.0)


def start_and_attach(registry: Registry, replica_id: str = "r1", *, session: int = 1, now: float = 0.0) -> None:
    registry.started(replica_id, "echo-1", pid=10, started_wall=0.0, now=now)
    registry.attach(registration(replica_id, pid=10), session, now)


def routed(registry: Registry, now: float = 0.0) -> dict[str, ReplicaState]:
    return {row.replica_id: row.state for row in registry.route_table(now).replicas}


def test_started_replica_is_starting_and_not_in_the_snapshot_until_it_attaches(registry: Registry) -> None:
    registry.started("r1", "echo-1", pid=10, started_wall=0.0, now=0.0)

    (replica,) = registry.replicas()
    assert replica.state is ReplicaState.STARTING
    assert routed(registry) == {}


def test_attached_replica_is_in_the_snapshot_with_its_full_state(registry: Registry) -> None:
    registry.set_deployments([deployment()])
    start_and_attach(registry)

    table = registry.route_table(0.5)

    assert (table.epoch, table.partial) == (3, False)
    (row,) = table.replicas
    assert (row.address, row.state) == ("127.0.0.1:7000", ReplicaState.READY)
    assert (row.stream_capacity, row.status_age_s) == (8, 0.5)
    assert [d.deployment_id for d in table.deployments] == ["echo-1"]


def test_version_changes_only_with_what_edges_route_by(registry: Registry) -> None:
    start_and_attach(registry)
    version = registry.version

    assert not registry.report("r1", 1, report(2), 1.0)
    assert registry.version == version
    assert registry.report("r1", 1, report(3, active=1), 1.0)
    assert registry.version == version + 1


def test_endpoints_of_a_model_are_known_until_its_deployment_goes(registry: Registry) -> None:
    registry.set_deployments([deployment()])
    start_and_attach(registry)
    registry.report("r1", 1, replace(report(2), endpoints=("predict",)), 1.0)
    registry.process_gone("r1")

    assert registry.endpoints("echo-1") == ("predict",)

    registry.set_deployments([])

    assert registry.endpoints("echo-1") == ()


def test_report_that_is_older_than_the_last_is_ignored(registry: Registry) -> None:
    start_and_attach(registry)
    registry.report("r1", 1, report(5, active=2), 1.0)

    assert not registry.report("r1", 1, report(4, active=7), 1.1)

    assert registry.replicas()[0].active_streams == 2


def test_report_of_a_replaced_call_is_ignored(registry: Registry) -> None:
    start_and_attach(registry)

    assert registry.attach(registration("r1", pid=10), 2, 1.0) == 1
    assert not registry.report("r1", 1, report(9, active=7), 1.1)
    assert not registry.detach("r1", 1)
    assert not registry.replicas()[0].suspect


def test_broken_call_makes_a_replica_suspect_and_the_last_choice_but_it_stays(registry: Registry) -> None:
    start_and_attach(registry)

    assert registry.detach("r1", 1)

    (row,) = registry.route_table(0.0).replicas
    assert (row.state, row.cordoned) == (ReplicaState.READY, True)
    assert registry.expire(1e6) == []


def test_silence_beyond_the_lease_makes_a_replica_suspect_until_it_speaks(registry: Registry) -> None:
    start_and_attach(registry)

    assert registry.next_deadline(0.0) == LEASE_S
    registry.expire(LEASE_S - 0.1)
    assert not registry.replicas()[0].suspect
    registry.expire(LEASE_S)
    assert registry.replicas()[0].suspect
    registry.report("r1", 1, report(2), LEASE_S + 1)
    assert not registry.replicas()[0].suspect


def test_replica_that_loads_its_imports_is_not_suspect(registry: Registry) -> None:
    registry.started("r1", "echo-1", pid=10, started_wall=0.0, now=0.0)

    registry.expire(100.0)

    assert not registry.replicas()[0].suspect


def test_ended_process_leaves_the_snapshot_at_once(registry: Registry) -> None:
    start_and_attach(registry)

    assert registry.process_gone("r1") is not None

    assert routed(registry) == {}
    assert registry.process_gone("r1") is None


def test_ordered_drain_shows_before_the_replica_answers(registry: Registry) -> None:
    start_and_attach(registry)

    registry.order_drain("r1", 0.0)

    assert routed(registry) == {"r1": ReplicaState.DRAINING}


def test_failed_replica_is_not_in_the_snapshot(registry: Registry) -> None:
    start_and_attach(registry)
    registry.report("r1", 1, report(2, ReplicaState.FAILED), 1.0)

    assert routed(registry) == {}


def test_another_process_with_the_id_of_a_live_replica_is_refused(registry: Registry) -> None:
    start_and_attach(registry)

    with pytest.raises(DuplicateReplicaError, match="process 10"):
        registry.attach(registration("r1", boot_id="other", pid=11), 2, 0.0)
    with pytest.raises(DuplicateReplicaError, match="serves echo-1"):
        registry.attach(registration("r1", "echo-2", pid=10), 2, 0.0)


def test_unwatched_replica_cannot_be_replaced_while_it_is_heard(registry: Registry) -> None:
    registry.attach(registration("r1"), 1, 0.0)

    with pytest.raises(DuplicateReplicaError, match="another process"):
        registry.attach(registration("r1", boot_id="other"), 2, 1.0)
    assert registry.attach(registration("r1", boot_id="other"), 2, LEASE_S) == 1


def test_unwatched_replica_is_lost_when_its_lease_is_over_and_an_edge_missed_it(registry: Registry) -> None:
    registry.attach(registration("r1"), 1, 0.0)
    registry.detach("r1", 1)
    assert registry.expire(LEASE_S) == []

    registry.unreachable("r1", LEASE_S)

    assert registry.expire(LEASE_S) == ["r1"]


def test_unwatched_replica_is_lost_after_long_silence(registry: Registry) -> None:
    registry.attach(registration("r1"), 1, 0.0)
    registry.detach("r1", 1)

    assert registry.next_deadline(0.0) is not None
    assert registry.expire(LEASE_S * LOST_AFTER_LEASES - 0.1) == []
    assert registry.expire(LEASE_S * LOST_AFTER_LEASES) == ["r1"]


def test_watched_replica_is_never_lost_by_time(registry: Registry) -> None:
    start_and_attach(registry)
    registry.detach("r1", 1)
    registry.unreachable("r1", 1.0)

    assert registry.expire(1e9) == []


def test_recovery_lasts_until_every_expected_replica_has_attached(registry: Registry) -> None:
    registry.expect("r1", "echo-1", ProcessState.RUNNING, pid=10, now=0.0)
    registry.expect("r2", "echo-1", ProcessState.RUNNING, pid=11, now=0.0)
    assert registry.route_table(0.0).partial

    registry.attach(registration("r1", pid=10), 1, 0.1)
    assert registry.recovering
    registry.attach(registration("r2", pid=11), 2, 0.2)

    assert not registry.recovering
    assert not registry.route_table(0.2).partial


def test_recovery_ends_with_the_window_and_loses_only_what_nobody_can_see(registry: Registry) -> None:
    registry.expect("seen", "echo-1", ProcessState.RUNNING, pid=10, now=0.0)
    registry.expect("unseen", "echo-1", ProcessState.UNKNOWN, now=0.0)
    assert registry.expire(RECOVERY_MIN_S - 0.1) == []
    assert registry.next_deadline(1.0) == RECOVERY_MIN_S or registry.next_deadline(1.0) == 1.0 + LEASE_S

    assert registry.expire(RECOVERY_MIN_S) == ["unseen"]

    assert not registry.recovering
    seen = registry.replica("seen")
    assert seen is not None
    assert seen.suspect


def test_expected_replica_that_turns_out_dead_is_not_awaited(registry: Registry) -> None:
    registry.expect("r1", "echo-1", ProcessState.RUNNING, pid=10, now=0.0)

    registry.process_gone("r1")

    assert not registry.recovering


def test_watched_makes_an_unseen_replica_safe_from_loss(registry: Registry) -> None:
    registry.attach(registration("r1"), 1, 0.0)
    registry.watched("r1")
    registry.detach("r1", 1)

    assert registry.expire(1e9) == []


def test_deployments_whose_replicas_change_are_told_once(registry: Registry) -> None:
    start_and_attach(registry)
    assert registry.take_changed() == {"echo-1"}
    assert registry.take_changed() == set()

    registry.report("r1", 1, report(2, ReplicaState.READY), 1.0)
    assert registry.take_changed() == set()
    registry.report("r1", 1, report(3, ReplicaState.READY, active=1), 1.0)
    assert registry.take_changed() == {"echo-1"}
    registry.expire(1.0 + LEASE_S)
    assert registry.take_changed() == {"echo-1"}


@pytest.mark.parametrize("how", ["attached", "gone", "window over"])
def test_end_of_the_recovery_has_every_deployment_looked_at(registry: Registry, how: str) -> None:
    registry.set_deployments([deployment(), deployment("voice-1")])
    registry.expect("r1", "echo-1", ProcessState.RUNNING, pid=10, now=0.0)
    registry.take_changed()
    if how == "attached":
        registry.attach(registration("r1", pid=10), 1, 1.0)
    elif how == "gone":
        registry.process_gone("r1")
    else:
        registry.expire(1000.0)
    assert not registry.recovering
    assert registry.take_changed() == {"echo-1", "voice-1"}


def test_retired_deployment_cannot_be_reached_but_its_replicas_stay(registry: Registry) -> None:
    start_and_attach(registry)

    registry.set_deployments([deployment(retired=True)])

    assert registry.route_table(0.0).deployments == []
    assert list(routed(registry)) == ["r1"]


class RegistryMachine(RuleBasedStateMachine):
    """Any order of events: what is known is what was started or attached and has not ended."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.session = 0
        self.registry = Registry(epoch=1, now=0.0)
        self.alive: set[str] = set()
        self.version = self.registry.version
        self.seen: dict[str, ReplicaState] = {}

    @rule(name=st.sampled_from("abc"))
    def start(self, name: str) -> None:
        if name not in self.alive:
            self.alive.add(name)
            self.registry.started(name, "d-1", pid=1, started_wall=0.0, now=self.now)

    @rule(name=st.sampled_from("abc"))
    def attach(self, name: str) -> None:
        if name in self.alive:
            self.session += 1
            self.registry.attach(registration(name, "d-1", pid=1), self.session, self.now)

    @rule(name=st.sampled_from("abc"), sequence=st.integers(0, 9), state=st.sampled_from(ReplicaState))
    def tell(self, name: str, sequence: int, state: ReplicaState) -> None:
        self.registry.report(name, self.session, report(sequence, state), self.now)

    @rule(name=st.sampled_from("abc"))
    def detach(self, name: str) -> None:
        self.registry.detach(name, self.session)

    @rule(name=st.sampled_from("abc"))
    def end(self, name: str) -> None:
        self.alive.discard(name)
        self.registry.process_gone(name)

    @rule(seconds=st.floats(0.1, 100))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        assert self.registry.expire(self.now) == []

    @invariant()
    def known_is_what_lives(self) -> None:
        assert {r.replica_id for r in self.registry.replicas()} == self.alive

    @invariant()
    def snapshot_changes_only_with_its_version(self) -> None:
        seen = routed(self.registry, self.now)
        assert set(seen) <= self.alive
        assert seen == self.seen or self.registry.version > self.version
        self.seen, self.version = seen, self.registry.version

    @invariant()
    def deadlines_are_in_the_future_or_due(self) -> None:
        deadline = self.registry.next_deadline(self.now)
        if deadline is not None and deadline <= self.now:
            self.registry.expire(self.now)
            after = self.registry.next_deadline(self.now)
            assert after is None or after > self.now


TestRegistryMachine = RegistryMachine.TestCase
TestRegistryMachine.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
