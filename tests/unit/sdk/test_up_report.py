from __future__ import annotations

import json
from dataclasses import replace

from penstock.cli.up.host_port import HostPort
from penstock.cli.up.report import (
    Report,
    ServedChain,
    ServedChainlet,
    ServedModel,
    ShellCommands,
    render_json,
    render_text,
)

REPORT = Report(
    http=HostPort("127.0.0.1", 8000),
    grpc=HostPort("127.0.0.1", 8001),
    controller_address="unix:/s/controller.sock",
    state_dir="/s",
    models=(ServedModel("echo", "echo-0123abcd", 1), ServedModel("voice", "voice-4567cdef", 2)),
    seconds=2.345,
    commands=ShellCommands(),
)

TEXT = """\
Ready in 2.3 s.

  echo  (1 replica, deployment echo-0123abcd)
    ws://127.0.0.1:8000/model/echo/websocket
    websocat ws://127.0.0.1:8000/model/echo/websocket
    python -m websockets ws://127.0.0.1:8000/model/echo/websocket

  voice  (2 replicas, deployment voice-4567cdef)
    ws://127.0.0.1:8000/model/voice/websocket
    websocat ws://127.0.0.1:8000/model/voice/websocket
    python -m websockets ws://127.0.0.1:8000/model/voice/websocket

  HTTP    http://127.0.0.1:8000
  gRPC    127.0.0.1:8001
  Status  controller status --state-dir /s

Press Ctrl-C to stop."""


def test_text_for_people() -> None:
    assert render_text(REPORT) == TEXT


def test_programs_are_called_as_the_shell_finds_them() -> None:
    commands = ShellCommands(python=".venv/bin/python", controller=".venv/bin/controller")
    lines = render_text(replace(REPORT, commands=commands)).splitlines()
    assert "    .venv/bin/python -m websockets ws://127.0.0.1:8000/model/echo/websocket" in lines
    assert "  Status  .venv/bin/controller status --state-dir /s" in lines


def test_missing_websocat_is_told_beside_its_line() -> None:
    text = render_text(replace(REPORT, commands=ShellCommands(has_websocat=False)))
    assert "    websocat ws://127.0.0.1:8000/model/echo/websocket\n" in text
    assert "  Note    websocat is not installed here; the python lines need nothing more\n" in text


def test_what_a_model_has_to_say_stands_above_its_address() -> None:
    note = "no websocket method: streams end with 1003"
    lines = render_text(replace(REPORT, models=(ServedModel("p", "p-1", 1, note),))).splitlines()
    assert lines[2:5] == [
        "  p  (1 replica, deployment p-1)",
        f"    Note: {note}",
        "    ws://127.0.0.1:8000/model/p/websocket",
    ]


def test_ready_file() -> None:
    assert json.loads(render_json(REPORT)) == {
        "edge": {"url": "ws://127.0.0.1:8000", "http": "http://127.0.0.1:8000", "grpc": "127.0.0.1:8001"},
        "controller": {"address": "unix:/s/controller.sock", "state_dir": "/s"},
        "deployments": [
            {
                "name": "echo",
                "id": "echo-0123abcd",
                "websocket": "ws://127.0.0.1:8000/model/echo/websocket",
                "predict": "http://127.0.0.1:8000/model/echo/predict",
                "endpoints": ["websocket"],
                "replicas": 1,
            },
            {
                "name": "voice",
                "id": "voice-4567cdef",
                "websocket": "ws://127.0.0.1:8000/model/voice/websocket",
                "predict": "http://127.0.0.1:8000/model/voice/predict",
                "endpoints": ["websocket"],
                "replicas": 2,
            },
        ],
        "chains": [],
    }


def test_without_grpc() -> None:
    report = replace(REPORT, grpc=None)
    assert "gRPC" not in render_text(report)
    assert json.loads(render_json(report))["edge"]["grpc"] is None


def test_address_that_means_all_is_shown_as_one_to_connect_to() -> None:
    report = replace(REPORT, http=HostPort("0.0.0.0", 80), grpc=HostPort("::", 81))
    assert "ws://127.0.0.1:80/model/echo/websocket" in render_text(report)
    assert json.loads(render_json(report))["edge"]["grpc"] == "[::1]:81"


def test_folder_with_spaces_can_be_pasted() -> None:
    assert "--state-dir '/my state'" in render_text(replace(REPORT, state_dir="/my state"))


def test_a_model_is_shown_with_the_ways_to_call_it() -> None:
    asked = ServedModel("p", "p-1", 1, endpoints=("predict", "embeddings"), example='{"it\'s": 1}')
    both = ServedModel("b", "b-1", 1, endpoints=("websocket", "predict"))
    text = render_text(replace(REPORT, models=(asked, both), commands=ShellCommands(has_websocat=False)))
    paragraphs = text.split("\n\n")
    assert paragraphs[1].splitlines()[1:] == [
        "    http://127.0.0.1:8000/model/p/predict",
        """    curl -s http://127.0.0.1:8000/model/p/predict -d '{"it'"'"'s": 1}'""",
    ]
    assert "websocat ws://127.0.0.1:8000/model/b/websocket" in paragraphs[2]
    assert "curl -s http://127.0.0.1:8000/model/b/predict -d '{}'" in paragraphs[2]


def test_websocat_is_only_missed_where_it_is_named() -> None:
    asked = ServedModel("p", "p-1", 1, endpoints=("predict",))
    assert "websocat" not in render_text(replace(REPORT, models=(asked,), commands=ShellCommands(has_websocat=False)))


def test_what_nothing_is_known_of_is_shown_as_a_websocket() -> None:
    assert "websocat" in render_text(replace(REPORT, models=(ServedModel("p", "p-1", 1, endpoints=()),)))


def test_a_watch_is_told() -> None:
    assert "What you save is live at once" in render_text(replace(REPORT, watched=True))
    assert "What you save" not in render_text(REPORT)


CHAINLETS = (
    ServedChainlet("RandInt", "hello.RandInt-1", 2, False, note="hm"),
    ServedChainlet("Hi", "hello-1", 1, True),
)


def test_a_chain_is_shown_with_its_chainlets_the_entrypoint_first() -> None:
    chain = ServedChain("hello", "hello-1", False, CHAINLETS, '{"x": 1}')
    assert render_text(replace(REPORT, models=(), chains=(chain,))).splitlines()[2:9] == [
        "  hello  (chain of 2 chainlets, version hello-1)",
        "    Hi       (1 replica, deployment hello-1, entrypoint)",
        "    RandInt  (2 replicas, deployment hello.RandInt-1)",
        "      Note: hm",
        "    http://127.0.0.1:8000/chain/hello/run_remote",
        "    curl -s http://127.0.0.1:8000/chain/hello/run_remote -d '{\"x\": 1}'",
        "",
    ]


def test_a_chain_that_is_talked_to_has_the_address_of_a_websocket() -> None:
    report = replace(REPORT, models=(), chains=(ServedChain("hello", "hello-1", True, CHAINLETS),))
    assert "    websocat ws://127.0.0.1:8000/chain/hello/websocket\n" in render_text(report)
    assert "websocat is not installed" in render_text(replace(report, commands=ShellCommands(has_websocat=False)))


def test_chains_stand_in_the_ready_file() -> None:
    report = replace(REPORT, models=(), chains=(ServedChain("hello", "hello-1", False, CHAINLETS),))
    assert json.loads(render_json(report))["chains"] == [
        {
            "name": "hello",
            "id": "hello-1",
            "url": "http://127.0.0.1:8000/chain/hello/run_remote",
            "chainlets": [
                {"name": "RandInt", "id": "hello.RandInt-1", "replicas": 2, "entrypoint": False},
                {"name": "Hi", "id": "hello-1", "replicas": 1, "entrypoint": True},
            ],
        }
    ]
