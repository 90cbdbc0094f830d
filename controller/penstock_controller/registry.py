"""What the controller knows of replicas and edges, and what edges route by. Pure: every event comes with its time.

A replica is known from the moment its process is started, or it attaches, until its process has ended:

    (started | attached) ──▶ known ──call breaks or lease runs out──▶ suspect ──attaches again──▶ known
                               └───────────── process gone ─────────────┴──▶ forgotten

A broken call alone never removes a replica: its streams do not pass through the controller. A suspect replica stays in
the snapshot as the last choice. Where nobody watches the process, a replica is lost when its lease is over and an edge
could not reach it, or when nothing was heard of it for LOST_AFTER_LEASES leases.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from penstock_controller.edge_table import EdgeTable
from penstock_controller.errors import DuplicateReplicaError, TooManySessionsError
from penstock_controller.records import Deployment, ProcessState, Registration, ReplicaReport, ReplicaState
from penstock_controller.replica import Replica

HEARTBEAT_S = 2.0
"""Longest time between two reports."""

LEASE_S = 6.0
"""Three heartbeats: one lost and one late report do not make a replica suspect."""

RECOVERY_MIN_S = 15.0
"""Least length of the recovery window: runners try again every 2 s, and a machine may be busy after a crash."""

RECOVERY_MAX_S = 150.0
"""Greatest length of the recovery window, while replicas go on to come back."""

LOST_AFTER_LEASES = 10
"""Silence, in leases, after which a replica whose process nobody watches is lost even if no edge missed it."""

REPLICAS_MAX = 100_000
"""Limit on the replicas of one controller; further ones are refused."""


@dataclass(frozen=True, slots=True)
class ReplicaRow:
    """One replica in a snapshot."""

    replica_id: str
    deployment_id: str
    address: str
    state: ReplicaState
    cordoned: bool
    active_streams: int
    stream_capacity: int
    status_age_s: float
    unhealthy: bool = False


@dataclass(frozen=True, slots=True)
class RouteTable:
    """What edges route by: the state of the world at one moment."""

    epoch: int
    version: int
    partial: bool
    deployments: Sequence[Deployment]
    replicas: Sequence[ReplicaRow]
    edge_count: int = 0


class Registry:
    """The known replicas, edges and deployments of one controller life (one epoch).

    Deployments whose replicas, or the demand for them, have changed are collected until `take_changed`.
    """

    def __init__(self, *, epoch: int, now: float, lease_s: float = LEASE_S) -> None:
        self.epoch = epoch
        self.lease_s = lease_s
        self.version = 1
        """Changes whenever an edge would route differently; the version of the next snapshot."""
        self._recovery_ends_at = now + max(2 * lease_s, RECOVERY_MIN_S)
        self._recovery_limit = now + RECOVERY_MAX_S
        self._awaited: set[str] = set()
        self._replicas: dict[str, Replica] = {}
        self._endpoints: dict[str, tuple[str, ...]] = {}
        """What models can be called by, per deployment."""
        self.edges = EdgeTable(lease_s)
        self._deployments: tuple[Deployment, ...] = ()
        self._touched: set[str] = set()

    # What was there before a restart of the controller.

    @property
    def recovering(self) -> bool:
        """True while a replica of before the restart has not been heard of; nothing is killed meanwhile."""
        return bool(self._awaited)

    def expect(
        self,
        replica_id: str,
        deployment_id: str,
        process: ProcessState,
        *,
        pid: int = 0,
        started_wall: float | None = None,
        now: float,
    ) -> None:
        """Announces a replica of an earlier life that lives, or may live. It counts until the window is over."""
        self._add(Replica(replica_id, deployment_id, process, now, True, pid, started_wall))
        self._awaited.add(replica_id)

    # Replicas.

    def replicas(self) -> list[Replica]:
        return list(self._replicas.values())

    def replica(self, replica_id: str) -> Replica | None:
        return self._replicas.get(replica_id)

    def touch(self, deployment_id: str) -> None:
        """Something about the deployment has changed."""
        self._touched.add(deployment_id)

    def take_changed(self) -> set[str]:
        """Returns the deployments that were touched since the last call."""
        touched, self._touched = self._touched, set()
        return touched

    def started(self, replica_id: str, deployment_id: str, *, pid: int, started_wall: float, now: float) -> None:
        """The actuator has started the process of a new replica."""
        self._add(Replica(replica_id, deployment_id, ProcessState.RUNNING, now, pid=pid, started_wall=started_wall))

    def watched(self, replica_id: str) -> None:
        """The actuator watches the process of the replica from now on."""
        replica = self._replicas.get(replica_id)
        if replica is not None:
            replica.process = ProcessState.RUNNING

    def attach(self, registration: Registration, session: int, now: float) -> int | None:
        """A runner has opened its call. Returns the session it replaces, which must be closed.

        Raises:
            DuplicateReplicaError: Another live process has this replica id, or it serves another deployment.
            TooManySessionsError: REPLICAS_MAX is reached.
        """
        replica = self._replicas.get(registration.replica_id)
        if replica is None:
            if len(self._replicas) >= REPLICAS_MAX:
                raise TooManySessionsError(f"this controller keeps at most {REPLICAS_MAX} replicas")
            replica = Replica(registration.replica_id, registration.deployment_id, ProcessState.UNKNOWN, now, True)
            self._add(replica)
        else:
            self._refuse_impostor(replica, registration, now)
        replaced = replica.session
        if replica.registration is None or replica.registration.boot_id != registration.boot_id:
            replica.ready_at = None
        replica.registration = registration
        replica.pid = registration.pid or replica.pid
        replica.started_wall = registration.started_wall or replica.started_wall
        replica.session = session
        if replica.replica_id in self._awaited:
            # Thousands of runners take longer: as long as they come, they are waited for.
            extended = min(now + self.lease_s, self._recovery_limit)
            self._recovery_ends_at = max(self._recovery_ends_at, extended)
        self._heard_of(replica.replica_id)
        self._heard(replica, registration.report, now)
        self._changed(replica.deployment_id)
        return replaced

    def report(self, replica_id: str, session: int, report: ReplicaReport, now: float) -> bool:
        """A replica told its state. Returns whether an edge would route differently.

        A report of a replaced call, or one that is older than the last, is ignored.
        """
        replica = self._replicas.get(replica_id)
        if replica is None or replica.session != session:
            return False
        if replica.report is not None and report.sequence <= replica.report.sequence:
            return False
        before = _routed(replica)
        self._heard(replica, report, now)
        if _routed(replica) == before:
            return False
        self._changed(replica.deployment_id)
        return True

    def detach(self, replica_id: str, session: int) -> bool:
        """The call of a replica broke. Returns whether it was the one that spoke for it."""
        replica = self._replicas.get(replica_id)
        if replica is None or replica.session != session:
            return False
        replica.session = None
        replica.suspect = True
        self._changed(replica.deployment_id)
        return True

    def process_gone(self, replica_id: str) -> Replica | None:
        """The process of a replica has ended: it leaves the snapshot at once. Returns what was known of it."""
        self._heard_of(replica_id)
        replica = self._replicas.pop(replica_id, None)
        if replica is not None:
            self._changed(replica.deployment_id)
        return replica

    def order_drain(self, replica_id: str, now: float, *, deadline: float | None = None) -> None:
        """No edge is to place another stream on the replica, even before it has answered.

        Args:
            deadline: when its streams will be ended; None lets them take their time.
        """
        replica = self._replicas.get(replica_id)
        if replica is None:
            return
        replica.drain_deadline = deadline
        replica.undrain_ordered = False
        if not replica.drain_ordered:
            replica.drain_ordered = True
            replica.drained_at = now if replica.drained_at is None else replica.drained_at
            self._changed(replica.deployment_id)

    def take_drain_back(self, replica_id: str) -> None:
        """The replica is to admit streams again."""
        replica = self._replicas.get(replica_id)
        if replica is not None and (replica.drain_ordered or replica.state is ReplicaState.DRAINING):
            replica.drain_ordered = False
            replica.drained_at = replica.drain_deadline = None
            replica.undrain_ordered = replica.state is ReplicaState.DRAINING
            self._changed(replica.deployment_id)

    def cordon(self, replica_id: str, cordoned: bool) -> None:
        """An operator makes the replica the last choice for new streams, or takes that back."""
        replica = self._replicas.get(replica_id)
        if replica is not None and replica.cordoned != cordoned:
            replica.cordoned = cordoned
            self._changed(replica.deployment_id)

    def set_surplus(self, replica_id: str, surplus: bool) -> None:
        """Scaling makes the replica the last choice for new streams, or takes that back."""
        replica = self._replicas.get(replica_id)
        if replica is not None and replica.surplus != surplus:
            replica.surplus = surplus
            self.version += 1

    def unreachable(self, replica_id: str, now: float) -> bool:
        """An edge could not reach the replica. Returns whether it is known, and so worth a look at its process."""
        replica = self._replicas.get(replica_id)
        if replica is None:
            return False
        replica.unreachable_at = now
        return True

    # Time.

    def expire(self, now: float) -> list[str]:
        """Applies what the passing of time means. Returns replicas that are lost; the caller calls `process_gone`."""
        lost: list[str] = []
        for replica in self._replicas.values():
            silence = now - replica.silent_since
            if silence < self.lease_s:
                continue
            # A process that loads its imports has not attached yet; that is no reason to suspect it.
            if replica.reported_at is not None and not replica.suspect:
                replica.suspect = True
                self._changed(replica.deployment_id)
            if replica.process is ProcessState.RUNNING or replica.replica_id in self._awaited:
                continue
            missed = replica.unreachable_at is not None and replica.unreachable_at >= replica.silent_since
            if replica.session is None and (missed or silence >= self.lease_s * LOST_AFTER_LEASES):
                lost.append(replica.replica_id)
        if self._awaited and now >= self._recovery_ends_at:
            unheard = [self._replicas[i] for i in self._awaited if i in self._replicas]
            lost.extend(r.replica_id for r in unheard if r.process is ProcessState.UNKNOWN)
            for replica in unheard:
                replica.suspect = True
            self._awaited.clear()
            self._recovered()
        return lost

    def next_deadline(self, now: float) -> float | None:
        """When `expire` may next have something to do; None when only an event matters."""
        deadlines = [
            r.silent_since + self.lease_s
            for r in self._replicas.values()
            if not r.suspect and r.reported_at is not None
        ]
        if self._awaited:
            deadlines.append(self._recovery_ends_at)
        if any(r.process is ProcessState.UNKNOWN for r in self._replicas.values()):
            deadlines.append(now + self.lease_s)
        return min(deadlines, default=None)

    # Snapshots.

    def set_deployments(self, deployments: Iterable[Deployment]) -> None:
        fresh = tuple(deployments)
        if fresh != self._deployments:
            self.version += 1
        self._touched.update(d.deployment_id for d in fresh)
        self._deployments = fresh
        for deployment_id in self._endpoints.keys() - {d.deployment_id for d in fresh}:
            del self._endpoints[deployment_id]

    def route_table(self, now: float) -> RouteTable:
        """Builds what edges route by. Replicas are in the order in which they became known.

        A retired deployment cannot be reached any more, but its draining replicas stay: they carry streams.
        """
        rows = [
            ReplicaRow(
                replica_id=r.replica_id,
                deployment_id=r.deployment_id,
                address=r.address,
                state=r.state,
                cordoned=bool(r.cordon_reason),
                active_streams=r.active_streams,
                stream_capacity=r.stream_capacity,
                status_age_s=0.0 if r.reported_at is None else max(0.0, now - r.reported_at),
                unhealthy=r.unhealthy,
            )
            for r in self._replicas.values()
            if r.address and r.state in (ReplicaState.STARTING, ReplicaState.READY, ReplicaState.DRAINING)
        ]
        reachable = [d for d in self._deployments if not d.retired]
        return RouteTable(self.epoch, self.version, self.recovering, reachable, rows, len(self.edges))

    # Inside.

    def _heard_of(self, replica_id: str) -> None:
        if replica_id in self._awaited:
            self._awaited.discard(replica_id)
            if not self._awaited:
                self._recovered()

    def _recovered(self) -> None:
        """What was held back during the recovery may be done now, for every deployment."""
        self._touched.update(deployment.deployment_id for deployment in self._deployments)
        self.version += 1

    def _add(self, replica: Replica) -> None:
        self._replicas[replica.replica_id] = replica
        self._changed(replica.deployment_id)

    def _changed(self, deployment_id: str) -> None:
        """An edge would route differently."""
        self.version += 1
        self._touched.add(deployment_id)

    def endpoints(self, deployment_id: str) -> tuple[str, ...]:
        """What the deployment's model can be called by, as its replicas say; empty before one has loaded it."""
        return self._endpoints.get(deployment_id, ())

    def _heard(self, replica: Replica, report: ReplicaReport, now: float) -> None:
        if report.endpoints:
            self._endpoints[replica.deployment_id] = report.endpoints
        replica.report = report
        replica.reported_at = now
        replica.suspect = False
        is_ready = report.state is ReplicaState.READY
        if is_ready and replica.ready_at is None:
            replica.ready_at = now
        if not is_ready or report.active_streams:
            replica.idle_since = None
        elif replica.idle_since is None:
            replica.idle_since = now
        if report.state is not ReplicaState.DRAINING:
            replica.undrain_ordered = False
            if not replica.drain_ordered:
                replica.drained_at = None
        elif replica.drained_at is None and not replica.undrain_ordered:
            replica.drained_at = now

    def _refuse_impostor(self, replica: Replica, registration: Registration, now: float) -> None:
        if registration.deployment_id != replica.deployment_id:
            raise DuplicateReplicaError(
                f"replica {replica.replica_id} serves {replica.deployment_id}, not {registration.deployment_id}"
            )
        if replica.process is ProcessState.RUNNING and replica.pid and registration.pid not in (0, replica.pid):
            raise DuplicateReplicaError(f"replica {replica.replica_id} is process {replica.pid}, which is alive")
        known = replica.registration
        heard_lately = replica.reported_at is not None and now - replica.reported_at < self.lease_s
        if known and known.boot_id != registration.boot_id and replica.session is not None and heard_lately:
            raise DuplicateReplicaError(f"replica {replica.replica_id} is attached from another process")


def _routed(replica: Replica) -> tuple[object, ...]:
    return (
        replica.state,
        replica.is_leaving,
        replica.active_streams,
        replica.stream_capacity,
        replica.suspect,
        replica.address,
        replica.unhealthy,
    )
