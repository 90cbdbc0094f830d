"""A config.yaml that is written again says the same."""

from __future__ import annotations

import datetime

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from penstock.truss import TrussConfig, dump_config, parse_config


def read(content: str) -> TrussConfig:
    return parse_config(content.encode(), name_default="m")


def test_every_key_survives_in_its_order() -> None:
    content = """\
model_name: ä
zzz: {deep: [1, 2.5, null, true, 'true', '1']}
description: |
  Two
  lines
runtime: {from_the_future: 1, enable_debug_logs: true}
day: 2024-01-02
1: number as a key
"""
    again = read(dump_config(read(content)))

    assert list(again.raw["runtime"]) == ["from_the_future", "enable_debug_logs"]
    assert list(again.raw) == ["model_name", "zzz", "description", "runtime", "day", 1]
    assert again.raw == read(content).raw
    assert again.raw["day"] == datetime.date(2024, 1, 2)
    assert "description: |\n  Two\n  lines\n" in dump_config(read(content))


@pytest.mark.parametrize(
    ("runtime", "transport", "flag"),
    [
        ("{is_websocket_endpoint: true}", {"kind": "websocket"}, True),
        ("{is_websocket_endpoint: true, transport: null}", {"kind": "websocket"}, True),
        (
            "{transport: {kind: websocket, ping_interval_seconds: 3}}",
            {"kind": "websocket", "ping_interval_seconds": 3},
            True,
        ),
        ("{is_websocket_endpoint: false, transport: {kind: websocket, x: 1}}", {"kind": "websocket", "x": 1}, True),
        ("{is_websocket_endpoint: true, transport: {kind: grpc}}", {"kind": "websocket"}, True),
        ("{is_websocket_endpoint: null, transport: {kind: grpc}}", {"kind": "grpc"}, False),
    ],
)
def test_transport_and_its_older_form_agree(runtime: str, transport: dict[str, object], flag: bool) -> None:
    config = read(f"runtime: {runtime}")
    before = read(f"runtime: {runtime}").raw

    again = read(dump_config(config))

    assert again.raw["runtime"]["transport"] == transport
    assert again.raw["runtime"]["is_websocket_endpoint"] is flag
    assert again.transport == config.transport
    assert again.warnings == () or "x" in transport
    assert config.raw == before


@pytest.mark.parametrize("content", ["", "runtime: null", "runtime: {transport: {kind: http}}", "a: &x [*x]"])
def test_nothing_is_added_to_what_needs_it_not(content: str) -> None:
    text = dump_config(read(content))

    assert "websocket" not in text
    assert read(text).raw.keys() == read(content).raw.keys()


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.dates() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.integers(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(min_size=1).map(lambda name: f"my {name}"), plain, max_size=4))
def test_any_content_survives(content: dict[str, object]) -> None:
    config = read(yaml.safe_dump(content))

    assert read(dump_config(config)).raw == config.raw == content
