"""A hundred live streams through many rounds of opening, closing, scaling, promoting, draining and killing the
controller: every message of every stream comes back, in order, and only its own client ends a stream."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
from websockets.asyncio.client import ClientConnection

from penstock.api.control.v1 import admin_pb2, admin_pb2_grpc, control_pb2
from penstock_testing.bare_platform import BarePlatform, bare_platform
from penstock_testing.counts import times
from penstock_testing.figures import show
from penstock_testing.prover import ordered, run, write_prover
from penstock_testing.static_platform import wait_until

ROUNDS = times(100, 200)
STREAMS = 100
SEED = 20261120
CHURN = 6
"""Streams that are replaced in a round."""

MESSAGE_INTERVAL_S = 0.25
KILL_EVERY = 10
FIXED_MIN = 3
"""Least fixed number of replicas: fewer have no room for all streams, and clients would rightly wait in vain."""

CALL_S = 20.0
FIGURES = Counter[str]()

AUTOSCALING = {
    "max_concurrency": 45,
    "min_replica": 1,
    "max_replica": 5,
    "scale_down_delay": 0.5,
    "scale_down_interval": 0.2,
}


class LiveStream:
    """Sends numbered messages to an echo, and checks that each comes back in its turn."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._closing = asyncio.Event()
        self.opened = asyncio.Event()
        self.exchanged = 0

    async def run(self) -> None:
        """Ends when asked to. Anything else that ends the stream fails here."""
        async with ordered(self._url, "echo") as client:
            self.opened.set()
            while not self._closing.is_set():
                await self._exchange(client)
                with suppress(TimeoutError):
                    async with asyncio.timeout(MESSAGE_INTERVAL_S):
                        await self._closing.wait()
            await client.close()
            assert client.close_code == 1000

    async def _exchange(self, client: ClientConnection) -> None:
        # Three at a time, so that their order can go wrong.
        numbers = [str(self.exchanged + i) for i in range(3)]
        for number in numbers:
            await client.send(number)
        async with asyncio.timeout(CALL_S):
            assert [await client.recv() for _ in numbers] == numbers
        self.exchanged += len(numbers)

    def close(self) -> None:
        self._closing.set()


class Operator:
    """Does something to the platform in every round."""

    def __init__(self, platform: BarePlatform, random_: random.Random) -> None:
        self._platform = platform
        self._random = random_
        self.deployment_ids: list[str] = []

    async def act(self) -> None:
        """One random action."""
        status = await self._call("GetStatus", admin_pb2.GetStatusRequest())
        actions = [self._promote, self._promote, self._scale, self._automatic, self._drain, self._cordon]
        action = self._random.choice(actions)
        FIGURES[action.__name__.strip("_")] += 1
        with suppress(grpc.aio.AioRpcError):
            # A replica that was named may be gone by now, and the controller may have been killed.
            await action(status)

    async def kill_controller(self) -> None:
        FIGURES["kill_controller"] += 1
        await asyncio.to_thread(self._platform.replace_controller)

    async def _promote(self, status: admin_pb2.GetStatusResponse) -> None:
        request = admin_pb2.PromoteDeploymentRequest(
            deployment=self._random.choice(self.deployment_ids), at_once=self._random.random() < 0.3
        )
        await self._call("PromoteDeployment", request)

    async def _scale(self, status: admin_pb2.GetStatusResponse) -> None:
        request = admin_pb2.ScaleDeploymentRequest(
            deployment=self._random.choice(self.deployment_ids), replicas=self._random.randint(FIXED_MIN, 5)
        )
        await self._call("ScaleDeployment", request)

    async def _automatic(self, status: admin_pb2.GetStatusResponse) -> None:
        for deployment_id in self.deployment_ids:
            await self._call(
                "ScaleDeployment", admin_pb2.ScaleDeploymentRequest(deployment=deployment_id, automatic=True)
            )

    async def _drain(self, status: admin_pb2.GetStatusResponse) -> None:
        ready = [r.replica_id for r in status.replicas if r.state == control_pb2.REPLICA_STATE_READY]
        if ready:
            replica_id = self._random.choice(ready)
            await self._change(admin_pb2.REPLICA_CHANGE_DRAIN, replica_id)
            if self._random.random() < 0.5:
                await self._change(admin_pb2.REPLICA_CHANGE_UNDRAIN, replica_id)

    async def _cordon(self, status: admin_pb2.GetStatusResponse) -> None:
        for replica in status.replicas:
            if replica.cordon_reason == "operator":
                await self._change(admin_pb2.REPLICA_CHANGE_UNCORDON, replica.replica_id)
            elif self._random.random() < 0.3:
                await self._change(admin_pb2.REPLICA_CHANGE_CORDON, replica.replica_id)

    async def _change(self, change: admin_pb2.ReplicaChange.ValueType, replica_id: str) -> None:
        await self._call("ChangeReplicas", admin_pb2.ChangeReplicasRequest(change=change, replicas=[replica_id]))

    async def _call(self, method: str, request: object) -> Any:
        async with grpc.aio.insecure_channel(self._platform.address) as channel:
            stub = admin_pb2_grpc.AdminServiceStub(channel)
            return await getattr(stub, method)(request, timeout=CALL_S, wait_for_ready=True)


def test_no_stream_is_cut_and_no_message_lost_whatever_operators_and_crashes_do(tmp_path: Path) -> None:
    first = write_prover(tmp_path / "a", autoscaling=AUTOSCALING)
    second = write_prover(tmp_path / "b", autoscaling={**AUTOSCALING, "max_replica": 6})
    random_ = random.Random(SEED)

    async def scenario(platform: BarePlatform) -> None:
        operator = Operator(platform, random_)
        operator.deployment_ids = [platform.apply(first.model_dir), platform.apply(second.model_dir, "staging")]
        url = f"{platform.start_edge()}/model/prover/websocket"
        live: dict[LiveStream, asyncio.Task[None]] = {}
        ended: list[LiveStream] = []
        began = time.monotonic()

        async def keep_open() -> None:
            while len(live) < STREAMS:
                stream = LiveStream(url)
                live[stream] = asyncio.create_task(stream.run())
            await asyncio.gather(*(_until_open(stream, task) for stream, task in live.items()))

        await keep_open()
        for round_ in range(ROUNDS):
            leaving = random_.sample(list(live), CHURN)
            for stream in leaving:
                stream.close()
            await operator.act()
            if round_ % KILL_EVERY == KILL_EVERY - 1:
                await operator.kill_controller()
            for stream in leaving:
                await live.pop(stream)
                ended.append(stream)
            await keep_open()
            broken = [task for task in live.values() if task.done()]
            for task in broken:
                task.result()
        for stream in live:
            stream.close()
        await asyncio.gather(*live.values())
        ended += live

        show(
            f"{ROUNDS} rounds with {STREAMS} live streams (seed {SEED})",
            streams=len(ended),
            messages=sum(stream.exchanged for stream in ended),
            seconds=time.monotonic() - began,
            **FIGURES,
        )
        await asyncio.to_thread(
            wait_until,
            lambda: sum(replica.active_streams for replica in platform.status().replicas) == 0,
            20.0,
            "every slot is given back and counted",
        )
        status = platform.status()
        assert status.controller.epoch == 1 + ROUNDS // KILL_EVERY
        # Every replica that ended was asked to: none crashed, none was given up.
        kinds = Counter(event.kind for event in platform.events())
        show("events", **kinds)
        assert not kinds.keys() & {"replica_exited", "replica_lost", "replica_not_started"}

    with bare_platform(tmp_path) as platform:
        run(scenario(platform))


async def _until_open(stream: LiveStream, task: asyncio.Task[None]) -> None:
    """Returns when the stream is open; raises what has ended it."""
    opened = asyncio.create_task(stream.opened.wait())
    await asyncio.wait((opened, task), return_when=asyncio.FIRST_COMPLETED)
    opened.cancel()
    if task.done():
        task.result()
