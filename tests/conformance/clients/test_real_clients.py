"""What people connect with, unchanged, against the whole platform."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import wave
from functools import partial
from pathlib import Path

import pytest

from penstock_testing import real_clients
from penstock_testing.platform import Platform
from penstock_testing.real_clients import Client, Message, Refused
from penstock_testing.source_tree import ROOT
from penstock_testing.static_platform import wait_until

BRIDGE = Path(__file__).parent / "ws_bridge.cjs"
EXAMPLE = ROOT / "examples" / "voice_activity"
PYTHON_CLIENTS: dict[str, Client] = {
    "websockets-asyncio": real_clients.websockets_asyncio,
    "websockets-sync": real_clients.websockets_sync,
    "websocket-client": real_clients.websocket_client,
    "aiohttp": real_clients.aiohttp_client,
}


@pytest.fixture(params=[*PYTHON_CLIENTS, "npm-ws"])
def client(request: pytest.FixtureRequest) -> Client:
    if request.param in PYTHON_CLIENTS:
        return PYTHON_CLIENTS[request.param]
    node = shutil.which("node")
    modules = request.getfixturevalue("npm_folder")
    assert node is not None
    return partial(real_clients.npm_ws, node=node, bridge=BRIDGE, modules=modules)


MESSAGES: dict[str, Message] = {
    "text": "hello",
    "unicode text": "Grüße, 世界 🌊\u0000\n",
    "empty text": "",
    "binary": bytes(range(256)),
    "empty binary": b"",
    "125 bytes": b"x" * 125,
    "126 bytes": b"x" * 126,
    "64 KiB binary": os.urandom(65536),
    "64 KiB text": "ü" * 32768,
    "1 MiB binary": os.urandom(1 << 20),
    "1 MiB text": "0123456789abcdef" * 65536,
}


@pytest.mark.parametrize("kind", list(MESSAGES))
def test_a_message_comes_back_as_it_was(platform: Platform, client: Client, kind: str) -> None:
    with client(platform.websocket("echo")) as session:
        session.send(MESSAGES[kind])

        assert session.receive() == MESSAGES[kind]


def test_order_kind_and_boundaries_survive(platform: Platform, client: Client) -> None:
    messages: list[Message] = [str(i) * i if i % 3 else bytes([i % 256]) * (i * 37) for i in range(200)]

    with client(platform.websocket("echo")) as session:
        for message in messages:
            session.send(message)

        assert [session.receive() for _ in messages] == messages


def test_a_ping_is_answered_with_its_payload(platform: Platform, client: Client) -> None:
    with client(platform.websocket("echo")) as session:
        assert session.ping(b"are you there") == b"are you there"

        session.send("and on")
        assert session.receive() == "and on"


def test_no_subprotocol_is_agreed_on_when_none_is_offered(platform: Platform, client: Client) -> None:
    with client(platform.websocket("echo")) as session:
        assert not session.subprotocol()


def test_the_close_of_the_client_is_answered_and_reaches_the_model(platform: Platform, client: Client) -> None:
    with client(platform.websocket("closing")) as session:
        assert session.close(4001, "Tschüss") == 4001

    def told() -> bool:
        with client(platform.websocket("closing")) as asking:
            asking.send("last")
            return bool(json.loads(asking.receive()) == [4001, "Tschüss"])

    wait_until(told, 10, "the model knows how the client closed")


def test_the_close_of_the_model_reaches_the_client(platform: Platform, client: Client) -> None:
    with client(platform.websocket("closing")) as session:
        session.send("close 4321 genug für heute")

        assert session.closed() == (4321, "genug für heute")


def test_a_model_that_raises_closes_with_1011(platform: Platform, client: Client) -> None:
    with client(platform.websocket("closing")) as session:
        session.send("raise")

        assert session.closed() == (1011, "Internal Server Error (in model/chainlet).")


def test_an_unknown_model_is_refused_before_the_upgrade(platform: Platform, client: Client) -> None:
    with pytest.raises(Refused) as refused, client(f"{platform.edge}/model/nobody/websocket"):
        pass

    assert refused.value.status == 404


def test_speech_is_found(platform: Platform, client: Client) -> None:
    with wave.open(str(EXAMPLE / "two_sentences.wav")) as wav:
        audio = wav.readframes(wav.getnframes())
    frames = [audio[i : i + 640] for i in range(0, len(audio) - 639, 640)]

    with client(platform.websocket("voice_activity")) as session:
        for frame in frames:
            session.send(frame)
        session.send('{"type": "end"}')
        events = [json.loads(session.receive()) for _ in range(5)]

        assert [event["type"] for event in events] == ["speech_start", "speech_end"] * 2 + ["end"]
        assert session.closed() == (1000, "")


def test_a_wrong_frame_is_an_event_and_the_stream_goes_on(platform: Platform, client: Client) -> None:
    with client(platform.websocket("voice_activity")) as session:
        session.send(b"too short")
        error = json.loads(session.receive())
        session.send('{"type": "end"}')

        assert (error["type"], error["code"]) == ("error", "frame_size")
        assert json.loads(session.receive())["type"] == "end"


def test_the_script_of_the_example_prints_the_events(platform: Platform) -> None:
    command = [sys.executable, str(EXAMPLE / "stream_wav.py"), "--speed", "20"]

    done = subprocess.run(
        [*command, "--url", platform.websocket("voice_activity")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [line[2] for line in lines] == ["speech_start", "speech_end"] * 2 + ["end"]


def test_wscat_sends_and_shows(platform: Platform, npm_folder: Path) -> None:
    wscat = npm_folder / "node_modules" / ".bin" / "wscat"
    command = [str(wscat), "--no-color", "-c", platform.websocket("echo"), "-x", "hello from wscat", "-w", "1"]

    # It leaves when its input ends, so that stays open.
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            status = process.wait(60)
        finally:
            process.kill()
        assert process.stdout is not None
        shown = process.stdout.read()

    assert status == 0
    assert "hello from wscat" in shown


def test_every_slot_is_free_again(platform: Platform) -> None:
    wait_until(lambda: platform.active_streams() == 0, 20, "no slot is held")
