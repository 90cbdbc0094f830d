"""Compression is negotiated only where it is switched on, and a limit counts what a message inflates to."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from penstock_testing.figures import MIB
from penstock_testing.platform import Platform, running_platform
from penstock_testing.prover import ordered, run, write_prover

MESSAGES = ("text", "", b"", b"\x00" * 700_000, "ünï ☃" * 1000)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform with one deployment that compresses, up to 1 MiB, and one that does not."""
    folder = tmp_path_factory.mktemp("truss")
    plain = write_prover(folder, "plain")
    compressing = write_prover(folder, "compressing", compression=True, limits={"message_bytes_max": MIB})
    with running_platform([plain.model_dir, compressing.model_dir]) as platform:
        yield platform


async def negotiated(url: str, compression: str | None) -> list[str]:
    """Names of the extensions of a stream, after an exchange."""
    async with connect(url, max_size=None, compression=compression) as client:
        await client.send(json.dumps({"do": "echo"}))
        for message in MESSAGES:
            await client.send(message)
            assert await client.recv() == message
        return [extension.name for extension in client.protocol.extensions]


@pytest.mark.parametrize(
    ("model", "offered", "expected"),
    [
        ("plain", "deflate", []),
        ("plain", None, []),
        ("compressing", "deflate", ["permessage-deflate"]),
        ("compressing", None, []),
    ],
)
def test_compression_needs_both_sides(both: Platform, model: str, offered: str | None, expected: list[str]) -> None:
    assert run(negotiated(both.websocket(model), offered)) == expected


@pytest.mark.parametrize("compression", ["deflate", None])
def test_limit_counts_inflated_bytes(both: Platform, compression: str | None) -> None:
    async def size_received(size: int) -> int:
        async with connect(both.websocket("compressing"), compression=compression) as client:
            await client.send(json.dumps({"do": "receive"}))
            await client.send(bytes(size))
            return int(await client.recv())

    assert run(size_received(MIB)) == MIB
    with pytest.raises(ConnectionClosed) as caught:
        run(size_received(2 * MIB))
    assert caught.value.rcvd is not None
    assert caught.value.rcvd.code == 1009
    assert run(size_received(MIB)) == MIB


def test_message_of_the_model_above_the_limit_ends_its_stream_only(both: Platform) -> None:
    async def scenario() -> tuple[int, str | bytes]:
        url = both.websocket("compressing")
        async with ordered(url, "echo") as beside, connect(url) as client:
            await client.send(json.dumps({"do": "send", "size": MIB + 1}))
            with pytest.raises(ConnectionClosed) as caught:
                await client.recv()
            await beside.send("still here")
            assert caught.value.rcvd is not None
            return caught.value.rcvd.code, await beside.recv()

    assert run(scenario()) == (1009, "still here")
