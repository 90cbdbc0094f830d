"""Simulated runners: each one Attach call with the cadence of a real runner. A process of its own; see side.py."""

from __future__ import annotations

import asyncio
import os
import random
import time
from typing import Any

import grpc.aio

from penstock.api.control.v1 import control_pb2, control_pb2_grpc
from penstock_bench.control import side
from penstock_bench.control.fleet import CAPACITY, DEPLOYMENT, PROBE_RATE, replica_id

COALESCE_S = 0.05
HEARTBEAT_S = 2.0
"""As penstock_runner.attach_state has them."""

TICK_S = 0.005
"""Streams open and close in steps of this length."""

ATTACHING_MAX = 50
"""Runners that attach at once: a whole fleet is not started in one moment."""


class Runner:
    """One simulated runner."""

    def __init__(self, number: int, stub: Any, streams: int) -> None:
        self.number = number
        self.active = streams
        self.streams_total = streams
        self.changed = asyncio.Event()
        self._stub = stub
        self._call: Any = None
        self._sequence = 0
        self._sent_at = 0.0
        self._started_at = int(time.time())

    async def attach(self) -> None:
        register = control_pb2.Register(
            replica_id=replica_id(self.number),
            deployment_id=DEPLOYMENT,
            boot_id=f"boot-{self.number}",
            address=f"10.0.{self.number // 250}.{self.number % 250}:50051",
            protocol_version=1,
            version="0",
            status=self._status(),
        )
        register.started_at.seconds = self._started_at
        # Not sooner: the controller gives a call ten seconds for its first request.
        self._call = self._stub.Attach()
        await self._call.write(control_pb2.AttachRequest(register=register))
        answer = await self._call.read()
        if answer is grpc.aio.EOF or answer.WhichOneof("kind") != "registered":
            raise RuntimeError(f"the controller refused {replica_id(self.number)}: {await self._call.details()}")

    async def report(self, counters: dict[str, int], sent: list[tuple[float, int, int]] | None) -> None:
        """Sends a status on change, and at least every heartbeat. `sent` takes what a probe has sent, and when."""
        first = random.uniform(0, HEARTBEAT_S)
        while True:
            try:
                async with asyncio.timeout(first or HEARTBEAT_S):
                    await self.changed.wait()
            except TimeoutError:
                pass
            first = 0.0
            pause = self._sent_at + COALESCE_S - time.monotonic()
            if pause > 0:
                await asyncio.sleep(pause)
            self.changed.clear()
            request = control_pb2.AttachRequest(status=self._status())
            count = self.active
            self._sent_at = time.monotonic()
            if sent is not None and (not sent or sent[-1][2] != count):
                sent.append((self._sent_at, self.number, count))
            await self._call.write(request)
            counters["statuses"] += 1

    def _status(self) -> control_pb2.ReplicaStatus:
        self._sequence += 1
        status = control_pb2.ReplicaStatus(
            sequence=self._sequence,
            state=control_pb2.REPLICA_STATE_READY,
            active_streams=self.active,
            stream_capacity=CAPACITY,
            streams_total=self.streams_total,
            resident_bytes=1_500_000_000,
        )
        status.event_loop_lag.nanos = 1_300_000
        if self.active:
            status.oldest_stream_at.seconds = self._started_at
        return status


async def churn(runners: list[Runner], probes: list[Runner], opens_per_s: float) -> None:
    """Opens and closes streams, at random and equally often."""
    began = time.monotonic()
    opened = closed = grown = 0
    while True:
        await asyncio.sleep(TICK_S)
        passed = time.monotonic() - began
        while opened < passed * opens_per_s:
            opened += 1
            runner = random.choice(runners)
            runner.active = min(CAPACITY - 1, runner.active + 1)
            runner.streams_total += 1
            runner.changed.set()
        while closed < passed * opens_per_s:
            closed += 1
            runner = random.choice(runners)
            runner.active = max(1, runner.active - 1)
            runner.changed.set()
        while grown < passed * PROBE_RATE * len(probes):
            probe = probes[grown % len(probes)]
            grown += 1
            probe.active += 1
            probe.streams_total += 1
            probe.changed.set()


async def main() -> None:
    job = side.read_job()
    count, per_connection = job["runners"], job["runners_per_connection"]
    channels = [
        # Channels with equal options share what gRPC keeps per connection.
        grpc.aio.insecure_channel(job["address"], options=[*side.CONNECTION_OPTIONS, ("penstock.number", number)])
        for number in range(-(-count // per_connection))
    ]
    stubs = [control_pb2_grpc.RunnerRegistryServiceStub(channel) for channel in channels]
    base = job["streams"] // count
    probes_count: int = job["probes"]
    runners = [
        Runner(number, stubs[number // per_connection], 1 if number < probes_count else base) for number in range(count)
    ]
    counters = {"statuses": 0}
    lags: list[tuple[float, float]] = []
    statuses: list[tuple[float, int]] = []
    sent: list[list[tuple[float, int, int]]] = [[] for _ in range(probes_count)]
    tasks: list[asyncio.Task[None]] = []
    failures: list[str] = []

    def done(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None and not failures:
            failures.append(repr(error)[:300])

    def start(coroutine: Any) -> None:
        tasks.append(task := asyncio.create_task(coroutine))
        task.add_done_callback(done)

    async def count_statuses() -> None:
        while True:
            statuses.append((time.monotonic(), counters["statuses"]))
            await asyncio.sleep(0.25)

    try:
        for first in range(0, count, ATTACHING_MAX):
            batch = runners[first : first + ATTACHING_MAX]
            await asyncio.gather(*(runner.attach() for runner in batch))
            for runner in batch:
                # From now on, not when all are attached: a lease does not wait for the rest of the fleet.
                start(runner.report(counters, sent[runner.number] if runner.number < probes_count else None))
        start(side.note_lag(lags))
        start(count_statuses())
        if job["opens_per_s"]:
            start(churn(runners[probes_count:] or runners, runners[:probes_count], job["opens_per_s"]))
        side.say_ready()
        await side.wait_for_end()
        side.write_notes(
            job,
            {
                "sent": [entry for entries in sent for entry in entries],
                "statuses": statuses,
                "lags": lags,
                "failures": failures,
            },
        )
    finally:
        for task in tasks:
            task.cancel()
    # What is left are thousands of calls to a controller that has ended; closing them one by one takes a minute.
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(main())
