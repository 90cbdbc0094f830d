"""Builds the rows of replicas in a status: those that live, and the places whose next replica is not there yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp

from penstock.api.control.v1 import admin_pb2
from penstock_controller.conversion import duration, state_to_wire, timestamp
from penstock_controller.fleet import Fleet, Place
from penstock_controller.records import ReplicaState
from penstock_controller.registry import Registry
from penstock_controller.replica import Replica
from penstock_controller.restarts import PlaceState


@dataclass(frozen=True, slots=True)
class ReplicaFacts:
    """What the actuator knows of a replica."""

    log_path: str = ""
    gpus: str = ""


_EMPTY_PLACES = {
    PlaceState.FAILED: ReplicaState.FAILED,
    PlaceState.BACKING_OFF: ReplicaState.LOST,
    PlaceState.WAITING_FOR_GPU: ReplicaState.STARTING,
}
"""What a place without a process looks like."""


def replica_views(
    registry: Registry, fleet: Fleet, facts_of: Callable[[str], ReplicaFacts], *, now: float, now_wall: float
) -> list[admin_pb2.ReplicaView]:
    """Returns all rows, by deployment and age."""
    offset = now_wall - now
    views = [
        _replica_view(replica, fleet.place_of(replica.replica_id), facts_of(replica.replica_id), now, offset)
        for replica in registry.replicas()
    ]
    views += [
        _empty_place_view(place, facts_of(place.replica_id or ""), now, offset)
        for place in fleet.all_places()
        if place.restarts.state in _EMPTY_PLACES
    ]
    views.sort(key=lambda view: (view.deployment_id, view.started_at.seconds, view.replica_id))
    return views


def _replica_view(
    replica: Replica, place: Place | None, facts: ReplicaFacts, now: float, offset: float
) -> admin_pb2.ReplicaView:
    def moment(at: float | None) -> Timestamp | None:
        return None if at is None else timestamp(at + offset)

    reported, registration = replica.report, replica.registration
    lag = None if reported is None else reported.event_loop_lag_s
    oldest = None if reported is None else reported.oldest_stream_wall
    return admin_pb2.ReplicaView(
        replica_id=replica.replica_id,
        deployment_id=replica.deployment_id,
        state=state_to_wire(replica.state),
        suspect=replica.suspect,
        cordoned=bool(replica.cordon_reason),
        active_streams=replica.active_streams,
        stream_capacity=replica.stream_capacity,
        pid=replica.pid,
        address=replica.address,
        status_age=None if replica.reported_at is None else duration(max(0.0, now - replica.reported_at)),
        started_at=None if replica.started_wall is None else timestamp(replica.started_wall),
        restarts=0 if place is None else place.restarts.restarts,
        event_loop_lag=None if lag is None else duration(lag),
        log_path=facts.log_path,
        message="" if reported is None else reported.message,
        resident_bytes=0 if reported is None else reported.resident_bytes,
        idle_for=None if replica.idle_since is None else duration(max(0.0, now - replica.idle_since)),
        gpus=facts.gpus,
        version="" if registration is None else registration.version,
        ready_at=moment(replica.ready_at),
        drain_started_at=moment(replica.drained_at),
        drain_deadline=moment(replica.drain_deadline),
        oldest_stream_at=None if oldest is None else timestamp(oldest),
        cordon_reason=replica.cordon_reason,
        streams_total=0 if reported is None else reported.streams_total,
        rejected_total=0 if reported is None else reported.rejected_total,
        crash_looping=place is not None and place.restarts.is_crash_looping(now),
        unhealthy=replica.unhealthy,
    )


def _empty_place_view(place: Place, facts: ReplicaFacts, now: float, offset: float) -> admin_pb2.ReplicaView:
    next_start_at = place.restarts.next_start_at
    return admin_pb2.ReplicaView(
        replica_id=place.replica_id or "",
        deployment_id=place.deployment_id,
        state=state_to_wire(_EMPTY_PLACES[place.restarts.state]),
        restarts=place.restarts.restarts,
        log_path=facts.log_path,
        message=place.restarts.message,
        next_start_at=None if next_start_at is None else timestamp(next_start_at + offset),
        crash_looping=place.restarts.is_crash_looping(now),
    )
