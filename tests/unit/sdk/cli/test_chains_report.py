from __future__ import annotations

import json
from dataclasses import replace

import pytest

from penstock.cli.chains.report import PushedChain, PushedChainlet, call_line, chain_url, render_json, render_text

PUSHED = PushedChain(
    name="hello",
    chain_id="hello-1",
    environment="production",
    existed=False,
    kind="unary",
    chainlets=(PushedChainlet("RandInt", "hello.RandInt-1", False), PushedChainlet("Hi", "hello-1", True)),
    edge="http://e:1",
    example='{"x": 1}',
)


@pytest.mark.parametrize(
    ("kind", "environment", "url"),
    [
        ("unary", "production", "http://e:1/chain/hello/run_remote"),
        ("stream", "staging", "http://e:1/chain/hello/environments/staging/run_remote"),
        ("websocket", "", "ws://e:1/chain/hello/deployment/hello-1/websocket"),
        ("conversation", "production", "ws://e:1/chain/hello/websocket"),
    ],
)
def test_a_chain_has_an_address(kind: str, environment: str, url: str) -> None:
    assert chain_url("http://e:1", "hello", kind, environment, "hello-1") == url
    assert chain_url("", "hello", kind, environment, "hello-1") == ""


def test_a_call_names_what_is_not_production() -> None:
    assert call_line("hello", "production", "hello-1") == "penstock call hello"
    assert call_line("hello", "dev", "hello-1") == "penstock call hello --environment dev"
    assert call_line("hello", "", "hello-1") == "penstock call hello --deployment hello-1"


def test_people_read_how_to_go_on() -> None:
    assert render_text(PUSHED).splitlines() == [
        "hello: chain hello-1",
        "  production will point to it once every chainlet is ready",
        "  RandInt  hello.RandInt-1",
        "  Hi       hello-1  (entrypoint)",
        "  http://e:1/chain/hello/run_remote",
        "",
        "Call it:",
        "  penstock call hello '{\"x\": 1}'",
        "See it start:",
        "  penstock logs hello-1 -f",
    ]


def test_a_chain_outside_of_environments_can_be_taken_into_production() -> None:
    text = render_text(replace(PUSHED, environment="", has_waited=True, existed=True))
    assert text.startswith("hello: chain hello-1 (was there already)\n")
    assert text.endswith("Take it into production:\n  controller promote hello-1")


def test_programs_read_json() -> None:
    found = json.loads(render_json(replace(PUSHED, environment="", edge="")))
    assert (found["url"], found["environment"], found["chain_id"]) == (None, None, "hello-1")
    assert [each["is_entrypoint"] for each in found["chainlets"]] == [False, True]
