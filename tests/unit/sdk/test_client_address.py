"""Addresses of edges, and how a deployment is named on them."""

from __future__ import annotations

import pytest

from penstock.client.address import Target, grpc_metadata, parse_address, websocket_path


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("ws://localhost:8000", "ws://localhost:8000"),
        ("http://localhost:8000/", "ws://localhost:8000"),
        ("wss://example.org", "wss://example.org"),
        ("https://example.org/models/", "wss://example.org/models"),
        ("grpc://[::1]:9000", "grpc://[::1]:9000"),
        ("grpcs://example.org:443/", "grpcs://example.org:443"),
    ],
)
def test_every_scheme_of_an_edge_is_read(url: str, expected: str) -> None:
    assert parse_address(url).url == expected


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("localhost:8000", "expected ws://host:port"),
        ("ftp://localhost", "expected ws://host:port"),
        ("ws://", "names no host"),
        ("ws://localhost:99999", "Port out of range"),
        ("grpc://localhost", "needs a port"),
        ("grpc://localhost:9000/path", "cannot have a path"),
        ("ws://localhost/?token=x", "pass credentials as token="),
        ("ws://user:secret@localhost", "pass credentials as token="),
    ],
)
def test_an_address_that_is_not_an_edges_is_refused_with_advice(url: str, advice: str) -> None:
    with pytest.raises(ValueError, match=advice) as caught:
        parse_address(url)

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (Target("", None, None), "/v1/websocket"),
        (Target("echo", None, None), "/model/echo/websocket"),
        (Target("echo", "staging", None), "/model/echo/environments/staging/websocket"),
        (Target("echo", None, "echo-01234567"), "/model/echo/deployment/echo-01234567/websocket"),
        (Target("a/b ?", None, None), "/model/a%2Fb%20%3F/websocket"),
    ],
)
def test_a_target_has_the_path_of_the_design(target: Target, path: str) -> None:
    assert websocket_path(target) == path


def test_a_target_over_grpc_is_named_by_metadata() -> None:
    assert grpc_metadata(Target("", None, None)) == []
    assert grpc_metadata(Target("echo", "staging", None)) == [
        ("penstock-model", "echo"),
        ("penstock-environment", "staging"),
    ]
    assert grpc_metadata(Target("echo", None, "echo-1")) == [
        ("penstock-model", "echo"),
        ("penstock-deployment", "echo-1"),
    ]


@pytest.mark.parametrize("names", [("echo", "staging", "echo-1"), ("", "staging", None), ("", None, "echo-1")])
def test_a_target_that_contradicts_itself_is_refused(names: tuple[str, str | None, str | None]) -> None:
    with pytest.raises(ValueError, match=r"either an environment or a deployment|needs the model's name"):
        Target(*names)
