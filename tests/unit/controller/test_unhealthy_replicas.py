"""A replica whose model fails its own health check: no choice for streams, and no capacity."""

from __future__ import annotations

from dataclasses import replace

import pytest

from penstock.api.control.v1 import control_pb2
from penstock_controller.conversion import report_from_wire, snapshot_to_wire
from penstock_controller.records import ReplicaState
from penstock_controller.registry import Registry
from penstock_controller.scaling.census import count
from penstock_controller.scaling.config import Metric
from penstock_controller.scaling.decision import Victim
from penstock_controller.scaling.observation import ReplicaObservation
from penstock_testing.controller_parts import registration, report
from penstock_testing.scaling_kit import Watcher, config, fleet, look, ready, seen, starting


def sick(replica_id: str, streams: int = 0) -> ReplicaObservation:
    return replace(ready(replica_id, streams), unhealthy=True)


def test_it_is_known_from_its_report_and_told_to_edges() -> None:
    registry = Registry(epoch=1, now=0.0)
    registry.attach(registration("r1"), 1, 0.0)
    version = registry.version
    state = control_pb2.REPLICA_STATE_READY
    status = control_pb2.ReplicaStatus(sequence=2, state=state, stream_capacity=8, unhealthy=True)
    assert registry.report("r1", 1, report_from_wire(status), 0.0), "an edge would route differently"
    assert registry.version > version
    (row,) = snapshot_to_wire(registry.route_table(0.0)).replicas
    assert row.unhealthy
    assert registry.report("r1", 1, report(3), 0.0)
    (row,) = snapshot_to_wire(registry.route_table(0.0)).replicas
    assert not row.unhealthy


def test_one_that_does_not_serve_anyway_is_not_called_unhealthy() -> None:
    registry = Registry(epoch=1, now=0.0)
    registry.attach(registration("r1"), 1, 0.0)
    registry.report("r1", 1, replace(report(2, ReplicaState.DRAINING), unhealthy=True), 0.0)
    assert not registry.replicas()[0].unhealthy


def test_it_keeps_its_place_and_streams_and_is_no_capacity() -> None:
    found = count(seen(ready("a", 2), sick("b", 3), sick("c")), 8, 5.0, idle_since={"c": 1.0}, starting=set())
    assert (found.present, found.ready, found.unhealthy, found.free_slots, found.active_streams) == (3, 1, 2, 6, 5)
    assert (found.idle_since, found.unhealthy_idle_since) == ({}, {"c": 1.0})


@pytest.mark.parametrize("metric", list(Metric))
def test_the_least_is_kept_by_another_one_while_that_is_allowed(metric: Metric) -> None:
    least = config(min_replica=1, max_replica=2, metric=metric)
    assert look(least, seen(sick("a", 3))).target == 2
    assert look(least, seen(sick("a", 3), ready("b"))).target == 2
    assert look(least, seen(sick("a", 3), sick("b", 1))).target == 2, "max_replica holds"
    assert look(config(min_replica=1, max_replica=1, metric=metric), seen(sick("a", 3))).target == 1


@pytest.mark.parametrize("metric", list(Metric))
def test_streams_that_wait_get_another_one(metric: Metric) -> None:
    decision = look(config(max_replica=3, metric=metric), seen(sick("a", 8), waiting=2))
    assert decision.target > 1


def test_streams_that_wait_do_not_count_on_it() -> None:
    assert look(config(), seen(ready("a", 8), sick("b"), waiting=9)).target == 4
    assert look(config(), seen(ready("a", 8), starting("b"), waiting=8)).target == 2


def test_it_goes_before_those_that_work_once_it_is_empty() -> None:
    watcher = Watcher(config(min_replica=1, scale_down_delay_s=30.0), target=3)
    both = seen(*fleet(0, 2), sick("z"))
    assert watcher.look(both, 0.0).victims == ()
    assert watcher.look(both, 31.0).victims == (Victim("z", if_idle=True),)


def test_it_stays_while_it_is_part_of_the_least() -> None:
    watcher = Watcher(config(min_replica=1, scale_down_delay_s=0.0), target=2)
    assert watcher.look(seen(ready("a"), sick("z")), 0.0).victims == ()
    assert watcher.look(seen(ready("a"), sick("z")), 99.0).victims == ()


@pytest.mark.parametrize("metric", list(Metric))
def test_of_a_superseded_deployment_it_goes_too(metric: Metric) -> None:
    watcher = Watcher(config(superseded=True, metric=metric), target=1)
    watcher.look(seen(sick("z")), 0.0)
    assert watcher.look(seen(sick("z")), 1.0).victims == (Victim("z", if_idle=True),)


def test_requests_that_ask_for_less_end_it_first() -> None:
    watcher = Watcher(config(metric=Metric.REQUESTS, scale_down_delay_s=10.0, max_scale_down_rate=50.0), target=3)
    watcher.look(seen(*fleet(0, 0), sick("z")), 0.0)
    assert watcher.look(seen(*fleet(0, 0), sick("z")), 100.0).victims == (Victim("z", if_idle=True),)


def test_an_operator_who_wants_fewer_ends_it_first() -> None:
    decision = look(config(manual_replicas=2), seen(*fleet(0, 1), sick("z", 5)))
    assert decision.victims == (Victim("z", if_idle=False),)


def test_it_is_not_the_one_that_is_to_empty_itself() -> None:
    decision = look(config(cordon_surplus=True), seen(*fleet(2, 1), sick("z")))
    assert decision.cordoned == {"r1"}
