from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from penstock_edge import webhook
from penstock_edge.webhook import BadWebhookError, WebhookRules, Webhooks, check_endpoint, is_public, signature

OPEN = WebhookRules(allow_private=True)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fc00::1",
        "fec0::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:a00:1::",
        "2001:db8::1",
    ],
)
def test_addresses_that_lead_inwards_are_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(BadWebhookError, match="public internet"):
        check_endpoint(f"http://{host}:80/", WebhookRules())
    check_endpoint(f"http://{host}:80/", OPEN)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"])
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x",
        "ftp://example.org/",
        "file:///etc/passwd",
        "https://",
        "https:///path",
        "https://user@example.org/",
        "https://user:pw@example.org/",
        "https://example.org:0/",
        "https://example.org:99999/",
        "https://example.org/a b",
        "https://example.org/\r\nX-Evil: 1",
        "https://exämple.org/",
        "https://[::1/",
        "https://example.org/" + "x" * 2048,
    ],
)
def test_endpoints_that_are_no_endpoints_are_refused(url: str) -> None:
    with pytest.raises(BadWebhookError):
        check_endpoint(url, OPEN)


def test_every_secret_signs() -> None:
    expected = [hmac.new(secret, b"body", hashlib.sha256).hexdigest() for secret in (b"new", b"old")]
    assert signature(b"body", ("new", "old")) == f"v1={expected[0]},v1={expected[1]}"


def test_rules_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(webhook.ALLOW_PRIVATE_VARIABLE, raising=False)
    monkeypatch.delenv(webhook.SECRET_VARIABLE, raising=False)
    assert WebhookRules.from_environment() == WebhookRules()
    monkeypatch.setenv(webhook.ALLOW_PRIVATE_VARIABLE, "1")
    monkeypatch.setenv(webhook.SECRET_VARIABLE, " new, old,")
    assert WebhookRules.from_environment() == WebhookRules(allow_private=True, secrets=("new", "old"))


Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def endpoint(*answers: bytes | None) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Serves the answers in turn; None cuts the connection. Yields the URL and the heads that have come."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        answer = answers[min(len(heads), len(answers) - 1)]
        heads.append(head)
        if answer is not None:
            writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://localhost:{server.sockets[0].getsockname()[1]}/a?b=1", heads


def delivered(*answers: bytes | None, rules: WebhookRules = OPEN) -> tuple[bool, list[bytes]]:
    async def main() -> tuple[bool, list[bytes]]:
        async with endpoint(*answers) as (url, heads):
            return await Webhooks(rules).deliver(url, "r-1", b"{}"), heads

    return asyncio.run(main())


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "RETRY_DELAY_S", 0.0)


OK = b"HTTP/1.1 204 X\r\n\r\n"


def test_the_endpoint_gets_the_request() -> None:
    is_delivered, heads = delivered(OK, rules=WebhookRules(allow_private=True, secrets=("s",)))

    assert is_delivered
    lines = heads[0].split(b"\r\n")
    assert lines[0] == b"POST /a?b=1 HTTP/1.1"
    assert {b"Content-Type: application/json", b"Content-Length: 2", b"X-BASETEN-REQUEST-ID: r-1"} <= set(lines)
    assert b"X-BASETEN-SIGNATURE: " + signature(b"{}", ("s",)).encode() in lines


@pytest.mark.parametrize(
    ("answers", "is_delivered", "attempts"),
    [
        ((b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n",), True, 1),
        ((b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",), True, 1),
        ((b"HTTP/1.1 103 Early\r\nLink: a\r\n\r\nHTTP/1.1 500 X\r\n\r\n",), False, 2),
        ((b"HTTP/1.1 503 X\r\n\r\n", OK), True, 2),
        ((b"HTTP/1.1 302 X\r\nLocation: http://127.0.0.1:1/\r\n\r\n",), False, 1),
        ((b"HTTP/1.1 404 X\r\n\r\n",), False, 1),
        ((None, OK), True, 2),
        ((None,), False, 2),
        ((b"SSH-2.0\r\n",), False, 2),
        ((b"x" * 100_000,), False, 2),
    ],
)
def test_failures_that_may_pass_are_tried_once_more(
    answers: tuple[bytes | None, ...], is_delivered: bool, attempts: int
) -> None:
    got, heads = delivered(*answers)
    assert (got, len(heads)) == (is_delivered, attempts)


def test_a_name_that_leads_inwards_is_not_connected_to() -> None:
    is_delivered, heads = delivered(OK, rules=WebhookRules())
    assert (is_delivered, heads) == (False, [])


def test_a_silent_endpoint_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "TIMEOUT_S", 0.05)

    async def main() -> bool:
        served: list[asyncio.StreamWriter] = []
        server = await asyncio.start_server(lambda _, writer: served.append(writer), "127.0.0.1", 0)
        async with server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            is_delivered = await Webhooks(OPEN).deliver(url, "r", b"")
            for writer in served:
                writer.close()
            return is_delivered

    assert asyncio.run(main()) is False


def test_nobody_listens() -> None:
    assert asyncio.run(Webhooks(OPEN).deliver("http://127.0.0.1:1/", "r", b"")) is False
