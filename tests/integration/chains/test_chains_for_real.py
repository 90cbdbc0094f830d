"""A chain three deep with the real controller, edge and runners: errors, cancellation, lost replicas, conversations."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.sync.client import connect

from penstock_testing.up_session import UpSession, wait_until

CHAIN = Path(__file__).resolve().parents[2] / "conformance" / "chains" / "deep" / "deep.py"
EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
VOICE_AGENT = EXAMPLES / "voice_agent" / "voice_agent.py"
RECORDING = EXAMPLES / "voice_activity" / "two_sentences.wav"
CANCELLED_S = 0.2
"""Time within which the innermost chainlet hears that the client has left (issue 5)."""


class Deep:
    """The running chain."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-m", "penstock.cli", "up"]
        self.up = UpSession(folder, command, str(CHAIN), str(VOICE_AGENT), "--grpc-listen=off", "--replicas=1")
        self.up.start()

    def become_ready(self) -> None:
        ready: dict[str, Any] = self.up.wait_ready()
        self.address = urlsplit(ready["chains"][0]["url"]).netloc

    def post(self, body: dict[str, Any]) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(self.address, timeout=30)
        connection.request("POST", "/chain/deep/run_remote", json.dumps(body), {"content-type": "application/json"})
        return connection

    def ask(self, kind: str, folder: Path | str = "") -> tuple[int, Any]:
        connection = self.post({"kind": kind, "folder": str(folder)})
        try:
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def logs(self) -> str:
        return "".join(path.read_text() for path in (self.up.state / "logs").rglob("*.log"))


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deep]:
    found = Deep(tmp_path_factory.mktemp("deep"))
    try:
        found.become_ready()
        yield found
    finally:
        found.up.clean_up()


def test_an_answer_comes_from_another_process(deep: Deep) -> None:
    status, bottom = deep.ask("pid")
    _, middle = deep.ask("middle")

    assert status == 200
    assert bottom != middle


@pytest.mark.parametrize(
    ("kind", "status", "name", "message"),
    [
        ("builtin", 500, "LookupError", "nothing down here"),
        ("http", 422, "HTTPException", "not like this"),
        ("own", 500, "RockfallError", "rocks"),
    ],
)
def test_a_failure_at_the_bottom_reaches_the_client_with_its_class_and_status(
    deep: Deep, kind: str, status: int, name: str, message: str
) -> None:
    answered, body = deep.ask(kind)

    assert answered == status
    error = body["error"]
    assert error["exception_cls_name"] == name
    assert message in error["exception_message"]
    assert "deep.py" in json.dumps(error["user_stack_trace"])
    assert "site-packages" not in json.dumps(error)
    wait_until(lambda: "╰" in deep.logs(), "the tree in the log")
    tree = deep.logs()
    assert "Error calling dependency Chainlet `Middle`" in tree
    assert "Error calling dependency Chainlet `Bottom`" in tree


def test_half_a_character_in_a_log_and_in_an_error_ends_nothing(deep: Deep) -> None:
    status, body = deep.ask("half")

    assert status == 500
    assert "half a pair: \\ud800" in body["error"]["exception_message"]
    wait_until(lambda: "half a pair: \\ud800" in deep.up.text(), "the line of the log")
    assert deep.ask("pid")[0] == 200
    assert not deep.up.ended()


def test_calls_that_are_cancelled_on_their_way_leave_no_work_behind(deep: Deep) -> None:
    assert deep.ask("leave") == (200, "300")

    wait_until(lambda: deep.ask("how busy") == (200, "0"), "the end of all work")


def test_a_caller_catches_the_class_that_was_raised(deep: Deep) -> None:
    assert deep.ask("seen", "x") == (200, "caught RockfallError")


def test_the_innermost_coroutine_is_cancelled_when_the_client_leaves(deep: Deep, tmp_path: Path) -> None:
    connection = deep.post({"kind": "wait", "folder": str(tmp_path)})
    wait_until((tmp_path / "began").exists, "the call at the bottom")

    left = time.time()
    connection.close()

    wait_until((tmp_path / "cancelled").exists, "the cancellation")
    wait_until((tmp_path / "cancelled").read_text, "its time")
    assert float((tmp_path / "cancelled").read_text()) - left < CANCELLED_S


def test_items_flow_both_ways_through_two_chainlets(deep: Deep) -> None:
    assert deep.ask("items") == (200, f"{2 * sum(range(5_000))} {100 * 5_000}")


def test_an_error_of_a_conversation_is_raised_at_its_other_end(deep: Deep) -> None:
    status, text = deep.ask("bad-item")

    assert status == 200
    assert "RockfallError: item -3" in text


def test_a_consumer_that_does_not_read_holds_the_producer_up(deep: Deep, tmp_path: Path) -> None:
    status, made = deep.ask("unread", tmp_path)

    assert status == 200
    # Items of 64 KiB: windows of three hops, not what memory would hold.
    assert 1 < int(made) < 400
    wait_until((tmp_path / "items").exists, "the end of the innermost generator")


def test_a_conversation_ends_at_once_when_the_client_leaves(deep: Deep, tmp_path: Path) -> None:
    connection = deep.post({"kind": "endless", "folder": str(tmp_path)})
    command = [sys.executable, "-m", "penstock_controller", "streams", f"--state-dir={deep.up.state}", "-o", "json"]
    wait_until(
        lambda: "Items" in subprocess.run(command, capture_output=True, text=True, check=True).stdout,
        "the conversation",
    )

    left = time.time()
    connection.close()

    wait_until((tmp_path / "items").exists, "the end of the innermost generator")
    wait_until((tmp_path / "items").read_text, "its time")
    taken, ended = (tmp_path / "items").read_text().split()
    assert int(taken) > 0
    assert float(ended) - left < CANCELLED_S


def test_a_replica_that_dies_is_a_typed_error_at_its_caller(deep: Deep) -> None:
    assert deep.ask("die", "x") == (200, "UpstreamError REPLICA_LOST")


def test_a_call_whose_replica_was_killed_is_tried_again_as_configured(deep: Deep, tmp_path: Path) -> None:
    connection = deep.post({"kind": "linger", "folder": str(tmp_path)})
    wait_until(lambda: (tmp_path / "lingered").exists() and (tmp_path / "lingered").read_text(), "the call")
    killed = int((tmp_path / "lingered").read_text())

    os.kill(killed, signal.SIGKILL)

    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    assert response.status == 200
    assert int(answer) != killed


def test_the_voice_agent_hears_and_answers_over_a_websocket(deep: Deep) -> None:
    with wave.open(str(RECORDING)) as recording:
        pcm = recording.readframes(recording.getnframes())
    frames = [pcm[start : start + 640].ljust(640, b"\0") for start in range(0, len(pcm), 640)]
    events: list[dict[str, Any]] = []
    sound = 0

    with connect(f"ws://{deep.address}/chain/voice-agent/environments/production/websocket") as agent:
        for frame in frames:
            agent.send(frame)
        agent.send("the end")
        for message in agent:
            if isinstance(message, bytes):
                sound += len(message)
            else:
                events.append(json.loads(message))

    assert agent.close_code == 1000
    kinds = [event["type"] for event in events if event["type"] != "word"]
    assert kinds.count("heard") == kinds.count("speech_start") == 2
    assert kinds[-2:] == ["answered", "end"]
    words = " ".join(event["text"] for event in events if event["type"] == "word")
    assert words.endswith("seconds of speech. Please go on.")
    assert sound > 640 * len(words.split())


def test_a_request_to_a_chain_that_wants_a_websocket_is_refused_and_the_next_stream_is_served(deep: Deep) -> None:
    connection = http.client.HTTPConnection(deep.address, timeout=30)
    connection.request("POST", "/chain/voice-agent/run_remote", "{}", {"content-type": "application/json"})
    assert connection.getresponse().status >= 400
    connection.close()

    with connect(f"ws://{deep.address}/chain/voice-agent/websocket") as agent:
        agent.send(b"short")
        assert json.loads(agent.recv(timeout=30))["type"] == "error"
        agent.send("the end")
        assert json.loads(agent.recv(timeout=30))["type"] == "end"
