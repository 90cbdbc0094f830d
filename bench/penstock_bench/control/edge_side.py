"""Simulated edges: each one Watch call that takes snapshots and tells demand. A process of its own; see side.py."""

from __future__ import annotations

import asyncio
import os
import random
import time
from dataclasses import dataclass, field
from typing import Any

import grpc.aio

from penstock.api.control.v1 import control_pb2
from penstock_bench.control import side
from penstock_bench.control.fleet import DEPLOYMENT, replica_id

METHOD = "/penstock.api.control.v1.EdgeSessionService/Watch"
STATUS_S = 1.0


@dataclass(slots=True)
class Notes:
    """What all edges have met."""

    received: list[tuple[float, int, int]] = field(default_factory=list)
    """Time, edge, and bytes of each snapshot."""
    seen: list[tuple[float, int, int, int]] = field(default_factory=list)
    """Time, edge, probe, and count, whenever a count was new to the edge."""


class Edge:
    """One simulated edge."""

    def __init__(self, number: int, channel: grpc.aio.Channel, job: Any, notes: Notes) -> None:
        self._number = number
        self._job = job
        self._notes = notes
        # Bytes: when they arrived is noted before they are parsed, which is the cost of this side.
        self._call: Any = channel.stream_stream(METHOD)()
        self._probes: list[tuple[int, str]] = []
        """Index in the snapshot, and id."""
        self._counts: list[int] = [0] * job["probes"]
        self._version = 0
        self.complete = asyncio.Event()
        """It has a snapshot in which every replica is ready."""

    async def subscribe(self) -> None:
        subscribe = control_pb2.Subscribe(edge_id=f"edge-{self._number}", http_address="10.1.0.1:80", version="0")
        await self._call.write(control_pb2.WatchRequest(subscribe=subscribe).SerializeToString())

    async def read(self) -> None:
        while True:
            data = await self._call.read()
            now = time.monotonic()
            if data is grpc.aio.EOF:
                return
            self._notes.received.append((now, self._number, len(data)))
            self._take(control_pb2.WatchResponse.FromString(data).snapshot, now)

    async def report(self) -> None:
        await asyncio.sleep(random.uniform(0, STATUS_S))
        refused = 0
        while True:
            waiting = random.choice((0, 0, 0, 1, 2))
            refused += waiting
            status = control_pb2.EdgeStatus(
                active_streams=self._job["streams"] // self._job["edges"],
                demands=[
                    control_pb2.Demand(deployment_id=DEPLOYMENT, waiting=waiting, refused_total=refused),
                ],
                snapshot_epoch=1,
                snapshot_version=self._version,
            )
            await self._call.write(control_pb2.WatchRequest(status=status).SerializeToString())
            await asyncio.sleep(STATUS_S)

    def _take(self, snapshot: control_pb2.Snapshot, now: float) -> None:
        self._version = snapshot.version
        replicas = snapshot.replicas
        if not self.complete.is_set() and not snapshot.partial and len(replicas) == self._job["runners"]:
            self._probes = [
                (index, r.replica_id) for index, r in enumerate(replicas) if _probe(r.replica_id, self._job)
            ]
            self.complete.set()
        for index, name in self._probes:
            row = replicas[index]
            if row.replica_id != name:
                raise RuntimeError("the order of the replicas has changed")
            number = int(name.rpartition("-")[2])
            if row.active_streams != self._counts[number]:
                self._counts[number] = row.active_streams
                self._notes.seen.append((now, self._number, number, row.active_streams))


def _probe(name: str, job: Any) -> bool:
    return int(name.rpartition("-")[2]) < job["probes"] and name == replica_id(int(name.rpartition("-")[2]))


async def main() -> None:
    job = side.read_job()
    notes = Notes()
    lags: list[tuple[float, float]] = []
    failures: list[str] = []
    tasks: list[asyncio.Task[None]] = []

    def done(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None and not failures:
            failures.append(repr(error)[:300])

    def start(coroutine: Any) -> None:
        tasks.append(task := asyncio.create_task(coroutine))
        task.add_done_callback(done)

    edges = []
    for number in range(job["edges"]):
        options = [*side.CONNECTION_OPTIONS, ("penstock.number", number)]
        edges.append(Edge(number, grpc.aio.insecure_channel(job["address"], options=options), job, notes))
    try:
        for edge in edges:
            await edge.subscribe()
            start(edge.read())
            start(edge.report())
        start(side.note_lag(lags))
        for edge in edges:
            await edge.complete.wait()
        side.say_ready()
        await side.wait_for_end()
        side.write_notes(job, {"received": notes.received, "seen": notes.seen, "lags": lags, "failures": failures})
    finally:
        for task in tasks:
            task.cancel()
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main())
