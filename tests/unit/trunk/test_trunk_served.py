from __future__ import annotations

import asyncio
from typing import Any

import grpc.aio
import pytest

from penstock.trunk.connection import CHANNEL_OPTIONS, Trunk
from penstock.trunk.endpoint import Endpoint, Role
from penstock.trunk.pump import Writer
from penstock.trunk.served import SERVER_OPTIONS, serve_trunk, trunk_handlers
from penstock_testing.chain_calls_kit import until
from penstock_testing.trunk_notes import Notes, ready


class Server:
    """Serves trunks whose streams nobody answers."""

    def __init__(self) -> None:
        self.endpoints: list[Endpoint] = []
        self.batches = 0
        self.ended: list[str] = []
        self.server = grpc.aio.server(options=SERVER_OPTIONS)
        self.server.add_generic_rpc_handlers(trunk_handlers(self._connect))
        self.address = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"

    async def _connect(self, _: Any, context: Any) -> None:
        writer = Writer()
        endpoint = Endpoint(Role.RUNNER, "served", on_output=writer.wake)
        self.endpoints.append(endpoint)
        await serve_trunk(context, endpoint, writer, after_batch=self._count, on_end=self.ended.append)

    def _count(self) -> None:
        self.batches += 1


def run(test: Any) -> None:
    async def main() -> None:
        served, notes = Server(), Notes()
        await served.server.start()
        trunk = Trunk(notes, "served", served.address)
        try:
            await ready(trunk, notes)
            await test(served, trunk, notes)
        finally:
            trunk.stop()
            await trunk.wait_ended()
            await served.server.stop(0)

    asyncio.run(main())


def test_the_end_of_the_caller_is_told_once_with_its_cause() -> None:
    async def test(served: Server, trunk: Trunk, notes: Notes) -> None:
        assert served.batches == 1
        assert served.endpoints[0].peer_name == "edge-1"
        trunk.stop()
        await until(lambda: bool(served.ended), "its end is told")
        await trunk.wait_ended()
        assert len(served.ended) == 1
        assert served.endpoints[0].fault is not None

    run(test)


def test_a_caller_that_breaks_the_protocol_is_cut_off() -> None:
    async def test(served: Server, trunk: Trunk, notes: Notes) -> None:
        assert trunk._endpoint is not None
        trunk._endpoint.put(7, 1, b"data on a stream that was never open")
        await until(lambda: bool(served.ended), "its end is told")
        assert served.ended == ["data on a stream that is not open"]
        await notes.until(lambda: "ended served 0 True" in notes.events)

    run(test)


def test_a_writer_that_fails_ends_the_trunk_instead_of_leaving_it_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test(served: Server, trunk: Trunk, notes: Notes) -> None:
        def fail() -> bytes:
            raise ValueError("a defect")

        endpoint = served.endpoints[0]
        monkeypatch.setattr(endpoint, "take_batch", fail)
        endpoint.go_away("draining")
        await notes.until(lambda: "ended served 0 True" in notes.events)
        assert served.ended == ["writer ended: ValueError('a defect')"]

    run(test)


def test_a_connection_on_which_nothing_passes_but_pings_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """gRPC ends connections for too many pings, and did with ours while the name of the option was wrong: it ignores
    names that it does not know. The interval is shortened here, so that pings may come at once."""
    name = "grpc.http2.min_ping_interval_without_data_ms"
    assert dict(SERVER_OPTIONS)[name] <= dict(CHANNEL_OPTIONS)["grpc.keepalive_time_ms"] / 2
    options = [(key, 1 if key == name else value) for key, value in SERVER_OPTIONS]
    monkeypatch.setattr(f"{__name__}.SERVER_OPTIONS", options)

    async def main() -> None:
        served = Server()
        await served.server.start()
        host, _, port = served.address.partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + http2_frame(SETTINGS, b""))
        try:
            for number in range(8):
                writer.write(http2_frame(PING, number.to_bytes(8, "big")))
                while (kind := await http2_kind(reader)) != PING:
                    assert kind != GOAWAY, f"ended at ping {number}"
                await asyncio.sleep(0.005)  # more than the interval
        finally:
            writer.close()
            await served.server.stop(0)

    asyncio.run(main())


SETTINGS, PING, GOAWAY = 4, 6, 7
"""Types of HTTP/2 frames."""


def http2_frame(kind: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, 0, 0, 0, 0, 0)) + payload


async def http2_kind(reader: asyncio.StreamReader) -> int:
    """Takes one frame off; returns its type."""
    head = await reader.readexactly(9)
    await reader.readexactly(int.from_bytes(head[:3], "big"))
    return head[3]
