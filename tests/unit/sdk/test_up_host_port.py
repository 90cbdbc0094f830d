from __future__ import annotations

import pytest

from penstock.cli.up.host_port import HostPort


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("127.0.0.1:8000", "127.0.0.1", 8000), ("localhost:0", "localhost", 0), ("[::1]:65535", "::1", 65535)],
)
def test_address_is_read_and_written_alike(text: str, host: str, port: int) -> None:
    address = HostPort.parse(text)
    assert (address.host, address.port) == (host, port)
    assert str(address) == text


@pytest.mark.parametrize("text", ["", "8000", ":8000", "host", "host:", "host:x", "host:65536", "host:-1", "host:²"])
def test_bad_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected HOST:PORT"):
        HostPort.parse(text)


def test_bare_ipv6_address_is_refused_with_advice() -> None:
    with pytest.raises(ValueError, match="brackets"):
        HostPort.parse("::1:8000")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("localhost", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("example.test", False),
    ],
)
def test_loopback_is_known(host: str, expected: bool) -> None:
    assert HostPort(host, 1).is_loopback is expected


@pytest.mark.parametrize(
    ("text", "expected"), [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), ("10.0.0.1:1", "10.0.0.1:1")]
)
def test_wildcard_is_reached_by_loopback(text: str, expected: str) -> None:
    assert str(HostPort.parse(text).reachable) == expected
