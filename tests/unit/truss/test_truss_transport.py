"""`runtime.transport` of config.yaml and its older form (truss.md section 1.4)."""

from __future__ import annotations

import pytest

from penstock.truss import ConfigError, Transport, TrussConfig, parse_config


def read(runtime: str) -> TrussConfig:
    return parse_config(f"runtime: {runtime}".encode(), name_default="m")


@pytest.mark.parametrize(
    ("runtime", "transport"),
    [
        ("{}", Transport("http")),
        ("{transport: null}", Transport("http")),
        ("{transport: {}}", Transport("http")),
        ("{transport: {kind: grpc}}", Transport("grpc")),
        ("{is_websocket_endpoint: false, transport: {kind: websocket}}", Transport("websocket")),
        ("{transport: {kind: websocket, ping_interval_seconds: 3}}", Transport("websocket", 3.0, None)),
        (
            "{is_websocket_endpoint: true, transport: {kind: websocket, ping_timeout_seconds: null}}",
            Transport("websocket"),
        ),
    ],
)
def test_transport_is_read_without_a_warning(runtime: str, transport: Transport) -> None:
    config = read(runtime)

    assert config.transport == transport
    assert config.warnings == ()


def test_older_form_means_the_websocket_transport() -> None:
    config = read("{is_websocket_endpoint: true, transport: {ping_interval_seconds: 5}}")

    assert config.transport == Transport("websocket", 5.0)
    assert [str(warning) for warning in config.warnings] == [
        "config.yaml:1:34: runtime.is_websocket_endpoint: is deprecated; write `transport: {kind: websocket}` instead"
    ]


def test_older_form_wins_over_another_kind_with_a_warning() -> None:
    config = read("{is_websocket_endpoint: true, transport: {kind: http}}")

    assert config.transport.kind == "websocket"
    assert [str(warning) for warning in config.warnings] == [
        "config.yaml:1:34: runtime.is_websocket_endpoint: contradicts transport.kind: http, and wins, as in Truss"
    ]


@pytest.mark.parametrize(
    ("runtime", "message"),
    [
        ("{transport: websocket}", "runtime.transport: must be a mapping, got text 'websocket'"),
        ("{transport: {kind: ws}}", "transport.kind: must be one of http, websocket, grpc, got text 'ws'"),
        ("{transport: {ping_interval_seconds: -1}}", "must be a number of seconds from 0 to 604800, got number -1"),
        ("{is_websocket_endpoint: 'yes'}", "is_websocket_endpoint: must be true or false, got text 'yes'"),
    ],
)
def test_bad_transports_are_refused(runtime: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(runtime)

    assert message in str(caught.value)
