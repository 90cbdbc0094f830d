"""An edge's data plane without a network: real trunk endpoints on both sides, and runners that a test answers for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from google.protobuf.duration_pb2 import Duration

from penstock.api.control.v1 import control_pb2
from penstock.api.trunk.v1 import trunk_pb2
from penstock.close_codes import TABLE, EndCode
from penstock.trunk.connection import TrunkWaiter
from penstock.trunk.endpoint import Endpoint, Role
from penstock.trunk.stream import Closing, TrunkStream
from penstock_edge.metrics import EdgeMetrics
from penstock_edge.plane import DataPlane
from penstock_edge.trunks import Trunks


def duration(seconds: float) -> Duration:
    made = Duration()
    made.FromNanoseconds(int(seconds * 1e9))
    return made


@dataclass
class ModelSide:
    """A stream as its runner sees it, and the sink that notes what comes."""

    runner: FakeRunner
    stream: TrunkStream
    request: trunk_pb2.OpenStream
    segments: list[tuple[int, bytes]] = field(default_factory=list)
    closing: Closing | None = None

    def on_accept(self, accept: trunk_pb2.AcceptStream) -> None:
        raise AssertionError("a runner gets no answers")

    def on_reject(self, reject: trunk_pb2.RejectStream) -> None:
        raise AssertionError("a runner gets no answers")

    def on_segment(self, kind: int, data: bytes) -> None:
        self.segments.append((kind, data))

    def on_close(self, closing: Closing) -> None:
        self.closing = closing

    def on_writable(self) -> None:
        pass

    def accept(self, **fields: object) -> None:
        self.runner.side.accept(self.stream, trunk_pb2.AcceptStream(**fields))  # type: ignore[arg-type]  # the test's own fields
        self.runner.pump()

    def reject(self, code: str, **fields: object) -> None:
        self.runner.side.reject(self.stream, trunk_pb2.RejectStream(code=code, **fields))  # type: ignore[arg-type]  # as above
        self.runner.pump()

    def send(self, kind: int, data: bytes) -> bool:
        done = self.stream.send(kind, data)
        self.runner.pump()
        return done

    def close(
        self, code: EndCode = EndCode.COMPLETED, close_code: int | None = None, reason: str | None = None
    ) -> None:
        row = TABLE[code]
        self.stream.close(
            code, row.close_code if close_code is None else close_code, row.reason if reason is None else reason
        )
        self.runner.pump()

    def take(self) -> list[tuple[int, bytes]]:
        """What has come, with its credit returned."""
        taken, self.segments = self.segments, []
        for _, data in taken:
            self.stream.consumed(len(data))
        self.runner.pump()
        return taken


class FakeRunner:
    """One trunk of the edge, with its other end. Stands in for `connection.Trunk`."""

    def __init__(self, kit: EdgeKit, replica_id: str, address: str, *, is_reached: bool) -> None:
        self._kit = kit
        self.peer_id = replica_id
        self.address = address
        self.waiters: dict[TrunkWaiter, None] = {}
        self.streams: list[ModelSide] = []
        """Every stream that was asked for, in order."""
        self.edge = Endpoint(Role.EDGE, "edge", on_output=lambda: None)
        self.side = Endpoint(Role.RUNNER, replica_id, on_output=lambda: None, on_open=self._on_open)
        self.is_full = False
        """The trunk carries no more streams."""
        if is_reached:
            self.reach()

    @property
    def is_ready(self) -> bool:
        return self.edge.peer_name is not None and self.edge.fault is None

    def open(self, request: trunk_pb2.OpenStream) -> TrunkStream | None:
        if self.is_full:
            return None
        stream = self.edge.open(request)
        self._kit.loop_soon(self.pump)
        return stream

    def _on_open(self, stream: TrunkStream, request: trunk_pb2.OpenStream) -> None:
        side = ModelSide(self, stream, request)
        stream.sink = side
        self.streams.append(side)

    def reach(self) -> None:
        """The trunk is up."""
        self.pump()
        waiters, self.waiters = self.waiters, {}
        for waiter in waiters:
            waiter.trunk_ready()
        self.pump()

    def pump(self) -> None:
        """Carries what is waiting, both ways, until nothing is."""
        moved = True
        while moved:
            moved = False
            while (batch := self.edge.take_batch()) is not None:
                assert self.side.receive(batch) is None, self.side.fault
                moved = True
            while (batch := self.side.take_batch()) is not None:
                assert self.edge.receive(batch) is None, self.edge.fault
                self._kit.plane.flush()
                moved = True

    def lose(self) -> None:
        """The trunk breaks."""
        self._kit.forget(self)
        self.edge.lose("lost by the test")
        self.side.lose("lost by the test")
        waiters, self.waiters = self.waiters, {}
        for waiter in waiters:
            waiter.trunk_failed()
        self._kit.plane.flush()


class EdgeKit:
    """The data plane, and its pool of trunks. Make it inside of a running loop."""

    def __init__(self) -> None:
        self.plane = DataPlane("edge-test", EdgeMetrics())
        self.plane.trunks = cast(Trunks, self)
        self.runners: dict[str, FakeRunner] = {}
        """Trunks that live, by replica."""
        self.unreached: set[str] = set()
        """Replicas whose trunk comes up only when the test says so."""
        self._version = 0

    def loop_soon(self, callback: object) -> None:
        self.plane.loop.call_soon(callback)  # type: ignore[arg-type]  # any callable

    def get(self, replica_id: str, address: str) -> FakeRunner:
        if replica_id not in self.runners:
            self.runners[replica_id] = FakeRunner(
                self, replica_id, address, is_reached=replica_id not in self.unreached
            )
        return self.runners[replica_id]

    def forget(self, runner: FakeRunner) -> None:
        self.runners.pop(runner.peer_id, None)

    def drop_idle(self, replica_id: str) -> None:
        runner = self.runners.get(replica_id)
        if runner is not None and not runner.edge.streams:
            runner.lose()

    def apply(
        self,
        *replicas: tuple[str, int, int],
        settings: control_pb2.StreamSettings | None = None,
        routes: tuple[str, ...] = (),
        promoted: str = "echo-1",
    ) -> None:
        """Applies a snapshot of the model "echo"; replicas are (id, active, capacity).

        Its deployment "echo-1" is in production, or else another one that is `promoted`, which then has the replicas.
        """
        self._version += 1
        self.plane.apply(
            control_pb2.Snapshot(
                epoch=1,
                version=self._version,
                deployments=[
                    control_pb2.DeploymentRoute(
                        deployment_id=deployment_id,
                        name="echo",
                        environments=["production"] if deployment_id == promoted else [],
                        routes=routes,
                        settings=settings,
                    )
                    for deployment_id in dict.fromkeys(("echo-1", promoted))
                ],
                replicas=[
                    control_pb2.ReplicaRoute(
                        replica_id=replica_id,
                        deployment_id=promoted,
                        address=f"{replica_id}:1",
                        state=control_pb2.REPLICA_STATE_READY,
                        active_streams=active,
                        stream_capacity=capacity,
                    )
                    for replica_id, active, capacity in replicas
                ],
            )
        )

    def active(self, replica_id: str) -> int:
        """Streams that the edge believes the replica holds."""
        candidate = self.plane.placement.candidate(replica_id)
        assert candidate is not None
        return candidate.active
