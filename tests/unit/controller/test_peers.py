from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from penstock.api.control.v1 import control_pb2
from penstock_controller.edge_table import INNER_ADDRESSES_MAX
from penstock_controller.records import EdgeReport, Subscription
from penstock_controller.registry import LEASE_S
from penstock_controller.sessions import RunnerSession
from penstock_testing.controller_chains import ChainReplicas, version
from penstock_testing.controller_parts import ControllerParts, controller_parts, deployment

CALLS = {"Talk": ["Say"], "Say": []}

Scenario = Callable[[ControllerParts, ChainReplicas], Awaitable[None]]


def run(tmp_path: Path, scenario: Scenario) -> None:
    async def main() -> None:
        async with controller_parts(tmp_path) as parts:
            await parts.operations.apply(
                [deployment("echo-1")], prune=False, chains=[version(1, CALLS, environment="production")]
            )
            await scenario(parts, ChainReplicas(parts))

    asyncio.run(main())


def connect(parts: ControllerParts, number: int, inner: str | None = None) -> None:
    address = f"127.0.0.1:{9000 + number}" if inner is None else inner
    known = Subscription(f"e{number}", number, f"127.0.0.1:{8000 + number}", "", "", None, address)
    parts.reconciler.edge_connected(known, number)


async def newest(session: RunnerSession) -> control_pb2.AttachResponse | None:
    """The last message that waits for a runner."""
    last = None
    while session._outbox.qsize():
        last = await session.next()
    return last


async def peers(session: RunnerSession) -> control_pb2.ChainPeers:
    message = await newest(session)
    assert message is not None
    assert (message.WhichOneof("kind"), message.epoch) == ("chain_peers", 1)
    return message.chain_peers


def test_a_replica_learns_of_its_chain_when_it_attaches(tmp_path: Path) -> None:
    async def scenario(parts: ControllerParts, replicas: ChainReplicas) -> None:
        connect(parts, 1)
        await replicas.serve("voice-1", "voice.Say-1", "echo-1")
        for own in ("voice-1", "voice.Say-1"):
            told = await peers(replicas.sessions[replicas.of(own)[0]])
            assert (told.chain, told.chain_id) == ("voice", "voice-1")
            assert [(c.chainlet, c.deployment_id, c.name) for c in told.chainlets] == [
                ("Talk", "voice-1", "voice"),
                ("Say", "voice.Say-1", "voice.Say"),
            ]
            assert (list(told.edge_addresses), told.http_address) == (["127.0.0.1:9001"], "127.0.0.1:8001")
        model = await newest(replicas.sessions[replicas.of("echo-1")[0]])
        assert model is None or model.WhichOneof("kind") != "chain_peers"

    run(tmp_path, scenario)


def test_edges_that_come_go_drain_or_are_silent_are_told_of(tmp_path: Path) -> None:
    async def scenario(parts: ControllerParts, replicas: ChainReplicas) -> None:
        await replicas.serve("voice-1")
        session = replicas.sessions[replicas.of("voice-1")[0]]
        assert list((await peers(session)).edge_addresses) == []

        async def changed() -> list[str]:
            await parts.settle()
            return list((await peers(session)).edge_addresses)

        connect(parts, 1)
        assert await changed() == ["127.0.0.1:9001"]
        connect(parts, 2)
        connect(parts, 3, inner="")
        connect(parts, 4, inner="127.0.0.1:9002")
        assert await changed() == ["127.0.0.1:9001", "127.0.0.1:9002"], "each address once"
        parts.reconciler.edge_reported("e1", 1, EdgeReport(draining=True))
        assert await changed() == ["127.0.0.1:9002"]
        parts.reconciler.edge_gone("e4", 4)
        parts.reconciler.edge_gone("e2", 2)
        assert await changed() == []
        parts.reconciler.edge_reported("e1", 1, EdgeReport())
        assert await changed() == ["127.0.0.1:9001"]
        parts.clock.now += LEASE_S
        assert await changed() == []

    run(tmp_path, scenario)


def test_only_so_many_edges_are_told(tmp_path: Path) -> None:
    async def scenario(parts: ControllerParts, replicas: ChainReplicas) -> None:
        for number in range(INNER_ADDRESSES_MAX + 3):
            connect(parts, number)
        await replicas.serve("voice-1")
        told = await peers(replicas.sessions[replicas.of("voice-1")[0]])
        assert list(told.edge_addresses) == [f"127.0.0.1:{9000 + number}" for number in range(INNER_ADDRESSES_MAX)]

    run(tmp_path, scenario)


def test_nothing_is_told_without_a_change_and_a_slow_runner_gets_the_newest_only(tmp_path: Path) -> None:
    async def scenario(parts: ControllerParts, replicas: ChainReplicas) -> None:
        connect(parts, 1)
        await replicas.serve("voice-1")
        await parts.settle()
        session = replicas.sessions[replicas.of("voice-1")[0]]
        assert await newest(session) is not None
        parts.reconciler.edge_reported("e1", 1, EdgeReport(active_streams=7))
        await parts.settle()
        assert session._outbox.empty()

        for number in range(2, 200):
            connect(parts, number)
            await parts.settle() if number % 50 == 0 else None
            parts.reconciler.edge_gone(f"e{number}", number)
            await parts.settle() if number % 50 == 0 else None
        assert session._outbox.qsize() == 1
        assert list((await peers(session)).edge_addresses) == ["127.0.0.1:9001"]

    run(tmp_path, scenario)
