from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.api.common.v1 import common_pb2
from penstock_edge.headers import answer_headers, forwarded_headers, message_headers, request_headers


def passed(*headers: tuple[str, str]) -> list[tuple[str, bytes]]:
    return [(header.name, header.value) for header in forwarded_headers(headers)]


def answered(*headers: tuple[str, bytes]) -> list[tuple[str, str]]:
    return answer_headers(common_pb2.Header(name=name, value=value) for name, value in headers)


def test_headers_pass_in_order_with_repetitions_and_names_in_lower_case() -> None:
    assert passed(("X-B", "1"), ("Cookie", "a=b"), ("x-b", "2"), ("Host", "h")) == [
        ("x-b", b"1"),
        ("cookie", b"a=b"),
        ("x-b", b"2"),
        ("host", b"h"),
    ]


def test_bytes_of_a_value_are_kept() -> None:
    every = bytes(range(0x80, 0x100))

    assert passed(("x", every.decode("latin-1"))) == [("x", every)]


@pytest.mark.parametrize(
    "name",
    ["Connection", "UPGRADE", "Transfer-Encoding", "Sec-WebSocket-Key", "Sec-WebSocket-Extensions", "Content-Length"],
)
def test_what_belongs_to_the_connection_stays_at_the_edge(name: str) -> None:
    assert passed((name, "x")) == []


@pytest.mark.parametrize(
    "name", ["Authorization", "Proxy-Authorization", "X-API-Key", "X-Auth-Token", "X-Apig-AppCode"]
)
def test_credentials_never_reach_the_model(name: str) -> None:
    assert passed((name, "secret"), ("x-other", "1")) == [("x-other", b"1")]


def test_subprotocols_and_trace_context_pass() -> None:
    assert [name for name, _ in passed(("Sec-WebSocket-Protocol", "a"), ("traceparent", "00-1-2-3"))] == [
        "sec-websocket-protocol",
        "traceparent",
    ]


def test_headers_of_a_model_pass() -> None:
    assert answered(("Set-Cookie", b"a=1"), ("Set-Cookie", b"b=2"), ("X-Late", b"\xe9")) == [
        ("Set-Cookie", "a=1"),
        ("Set-Cookie", "b=2"),
        ("X-Late", "\xe9"),
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-A", b"1\r\nSet-Cookie: stolen=1"),
        ("X-A", b"1\nX: 2"),
        ("X-A", b"\x00"),
        ("X-A: 1\r\nX-B", b"2"),
        ("X A", b"1"),
        ("", b"1"),
    ],
)
def test_a_model_cannot_forge_further_headers(name: str, value: bytes) -> None:
    assert answered((name, value), ("X-Good", b"1")) == [("X-Good", "1")]


@pytest.mark.parametrize(
    "name", ["Sec-WebSocket-Accept", "upgrade", "Connection", "Content-Length", "Transfer-Encoding"]
)
def test_a_model_cannot_change_the_handshake(name: str) -> None:
    assert answered((name, b"x")) == []


@given(st.lists(st.tuples(st.text(max_size=20), st.binary(max_size=20))))
def test_no_line_break_passes(headers: list[tuple[str, bytes]]) -> None:
    for name, value in answered(*headers):
        assert name and not set(name + value) & set("\r\n\0")


def test_a_message_has_the_headers_of_its_upgrade_and_its_own() -> None:
    upgrade = [
        ("X-A", "1"),
        ("Content-Type", "text/html"),
        ("Content-Encoding", "gzip"),
        ("X-Baseten-Request-Id", "of the upgrade"),
        ("Sec-WebSocket-Protocol", "p"),
        ("Authorization", "secret"),
    ]

    got = message_headers(forwarded_headers(upgrade), b"application/json", b"r-1")

    assert [(header.name, header.value) for header in got] == [
        ("x-a", b"1"),
        ("content-type", b"application/json"),
        ("x-baseten-request-id", b"r-1"),
    ]


def test_a_request_keeps_its_headers_but_not_the_platforms() -> None:
    given = [
        (b"host", b"x"),
        (b"content-type", b"a/b"),
        (b"content-length", b"5"),
        (b"transfer-encoding", b"chunked"),
        (b"expect", b"100-continue"),
        (b"authorization", b"secret"),
        (b"x-baseten-request-id", b"forged"),
        (b"cookie", b"a"),
    ]

    assert [(header.name, header.value) for header in request_headers(given, b"r-1")] == [
        ("host", b"x"),
        ("content-type", b"a/b"),
        ("cookie", b"a"),
        ("x-baseten-request-id", b"r-1"),
    ]
