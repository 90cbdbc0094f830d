"""Calls from runner to runner while edges come, drain and go."""

from __future__ import annotations

import asyncio

import pytest

from penstock.api.control.v1 import control_pb2
from penstock.chains.remote import caller as caller_module
from penstock.close_codes import EndCode
from penstock.errors import NotFoundError, PenstockError, UpstreamError
from penstock_testing.chain_calls_kit import (
    HELLO,
    Gate,
    chain_calls,
    run_calls,
    until,
)


def test_the_end_of_the_edge_is_a_typed_error_and_the_next_call_goes_through_another() -> None:
    async def main() -> None:
        gate = Gate()
        async with chain_calls(gate, edges=2) as calls:
            calling = asyncio.create_task(calls.transport.call(HELLO))
            await until(lambda: gate.entered == 1, "the callee works")
            victim = next(edge for edge in calls.edges if edge.server.streams)
            assert victim.server._server is not None
            await victim.server._server.stop(0)

            with pytest.raises(UpstreamError) as caught:
                await calling
            assert caught.value.code is EndCode.REPLICA_LOST
            assert calls.lost == [victim.address]
            gate.go.set()
            assert (await calls.transport.call(HELLO)).body == b"done"

    run_calls(main)


def test_a_draining_edge_is_left_and_what_runs_there_goes_on() -> None:
    async def main() -> None:
        gate = Gate()
        async with chain_calls(gate, edges=2) as calls:
            first = asyncio.create_task(calls.transport.call(HELLO))
            await until(lambda: gate.entered == 1, "the callee works")
            drained = next(edge for edge in calls.edges if edge.server.streams)
            other = next(edge for edge in calls.edges if edge is not drained)
            drained.plane.is_draining = True
            drained.server.begin_drain()
            await until(lambda: bool(calls.caller._link._leaving), "the caller knows")
            gate.go.set()

            assert (await calls.transport.call(HELLO)).body == b"done"
            assert other.server._endpoints
            assert (await first).body == b"done"
            await until(lambda: not drained.server._endpoints, "the empty trunk is ended")
            assert calls.lost == []
            await calls.idle()

    run_calls(main)


def test_the_last_edge_is_used_to_the_end_of_its_drain_and_then_refuses() -> None:
    async def main() -> None:
        async with chain_calls() as calls:
            await calls.transport.call(HELLO)
            calls.edge.plane.is_draining = True
            calls.edge.server.begin_drain()
            await until(lambda: bool(calls.caller._link._leaving), "the caller knows")
            assert (await calls.transport.call(HELLO)).status == 200

            calls.edge.server.close_admission()
            with pytest.raises(PenstockError) as caught:
                await calls.transport.call(HELLO)

            assert (caught.value.code, caught.value.retryable) == (EndCode.EDGE_DRAINING, True)

    run_calls(main)


def test_an_edge_that_refuses_because_it_drains_is_left_for_another() -> None:
    async def main() -> None:
        async with chain_calls(edges=2) as calls:
            calls.caller._link._choose = lambda addresses: addresses[0]
            calls.edges[0].server.close_admission()

            assert (await calls.transport.call(HELLO)).status == 200
            assert calls.edges[1].server._endpoints

    run_calls(main)


def test_a_deployment_that_the_edge_does_not_know_yet_is_waited_for() -> None:
    async def main() -> None:
        async with chain_calls() as calls:
            calls.edge.plane.apply(control_pb2.Snapshot(epoch=1, version=50))
            calling = asyncio.create_task(calls.transport.call(HELLO))
            refused = calls.edge.plane.metrics.refused.labels("", "NOT_FOUND", "404")
            await until(lambda: refused._value.get() > 0, "the edge has refused")

            calls.edge.apply(calls.replicas)

            assert (await calling).status == 200

    run_calls(main)


def test_a_deployment_that_nobody_knows_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller_module, "NOT_FOUND_S", 0.0)

    async def main() -> None:
        async with chain_calls() as calls:
            with pytest.raises(NotFoundError):
                await calls.caller.transport("nobody").call(HELLO)

    run_calls(main)
