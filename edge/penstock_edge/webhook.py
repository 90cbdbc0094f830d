"""Delivers results of asynchronous requests to the endpoints that their clients have named.

Clients choose the address, so an edge must not become a way into its own network: only addresses of the public internet
are connected to, the one that was checked is the one that is used, and redirects are not followed.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import os
import re
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

import structlog

URL_LENGTH_MAX = 2048

ATTEMPTS_MAX = 2
RETRY_DELAY_S = 2.0
TIMEOUT_S = 10.0
"""Of one attempt, from the look-up of the name to the status of the answer."""

RETRIED_STATUSES = frozenset({500, 502, 503, 504})

DELIVERIES_MAX = 64
"""Deliveries at once; others wait for their turn."""

ALLOW_PRIVATE_VARIABLE = "PENSTOCK_WEBHOOK_ALLOW_PRIVATE"
SECRET_VARIABLE = "PENSTOCK_WEBHOOK_SECRET"
# It names a variable, and is no secret.

_ANSWER_HEAD_BYTES_MAX = 16 * 1024
_TARGET = re.compile(r"[\x21-\x7e]*")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

log = structlog.get_logger("edge")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class BadWebhookError(ValueError):
    """The endpoint cannot be used; the text is for the client."""


@dataclass(frozen=True, slots=True)
class WebhookRules:
    """What an operator allows, and with what is signed."""

    allow_private: bool = False
    """Whether endpoints in private networks and on this machine may be named."""
    secrets: tuple[str, ...] = ()
    """Each makes a signature; several, for the time of a change."""

    @staticmethod
    def from_environment() -> WebhookRules:
        """Reads PENSTOCK_WEBHOOK_ALLOW_PRIVATE and PENSTOCK_WEBHOOK_SECRET (one secret, or several with commas)."""
        secrets = os.environ.get(SECRET_VARIABLE, "").split(",")
        return WebhookRules(
            allow_private=os.environ.get(ALLOW_PRIVATE_VARIABLE) == "1",
            secrets=tuple(secret.strip() for secret in secrets if secret.strip()),
        )


def check_endpoint(url: str, rules: WebhookRules) -> SplitResult:
    """Returns the parts of an endpoint that may be used. Names are looked up when the result is delivered.

    Raises:
        BadWebhookError: it may not.
    """
    if len(url) > URL_LENGTH_MAX or not _TARGET.fullmatch(url):
        raise BadWebhookError(f"webhook_endpoint is no URL of at most {URL_LENGTH_MAX} visible ASCII characters")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise BadWebhookError(f"webhook_endpoint is no URL: {error}") from None
    if parts.scheme not in ("http", "https") or not host:
        raise BadWebhookError("webhook_endpoint must begin with https:// or http://, and name a host")
    if parts.username is not None or parts.password is not None:
        raise BadWebhookError("webhook_endpoint must not hold a user name or password")
    if port == 0:
        raise BadWebhookError("webhook_endpoint has the port 0")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return parts
    if not rules.allow_private and not is_public(address):
        raise BadWebhookError(_private(host))
    return parts


def is_public(address: Address) -> bool:
    """Whether an address belongs to the public internet, with what it may carry inside."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(inner)
        if address.is_site_local:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def signature(body: bytes, secrets: Sequence[str]) -> str:
    """Returns the value of X-BASETEN-SIGNATURE: HMAC-SHA256 of the body with each secret."""
    return ",".join(f"v1={hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}" for secret in secrets)


class Webhooks:
    """Delivers, a bounded number at once."""

    def __init__(self, rules: WebhookRules) -> None:
        self.rules = rules
        self._turns = asyncio.Semaphore(DELIVERIES_MAX)
        self._tls: ssl.SSLContext | None = None

    async def deliver(self, url: str, request_id: str, body: bytes) -> bool:
        """Posts `body`; returns whether it was taken. An endpoint that fails is tried once more."""
        for attempt in range(1, ATTEMPTS_MAX + 1):
            if attempt > 1:
                await asyncio.sleep(RETRY_DELAY_S)
            try:
                async with self._turns, asyncio.timeout(TIMEOUT_S):
                    status = await self._post(url, request_id, body)
            except BadWebhookError as error:
                log.warning("webhook_failed", request_id=request_id, attempt=attempt, error=str(error))
                return False
            except (OSError, EOFError, TimeoutError, ValueError, asyncio.LimitOverrunError) as error:
                text = str(error) or type(error).__name__
                log.warning("webhook_failed", request_id=request_id, attempt=attempt, error=text)
                continue
            if 200 <= status <= 299:
                return True
            log.warning("webhook_failed", request_id=request_id, attempt=attempt, error=f"status {status}")
            if status not in RETRIED_STATUSES:
                return False
        return False

    async def _post(self, url: str, request_id: str, body: bytes) -> int:
        parts = check_endpoint(url, self.rules)
        host = parts.hostname
        assert host is not None
        is_tls = parts.scheme == "https"
        port = parts.port or (443 if is_tls else 80)
        if is_tls and self._tls is None:
            self._tls = ssl.create_default_context()
        addresses = await self._addresses(host, port)
        reader, writer = await self._connect(addresses, port, host if is_tls else None)
        try:
            head = [
                f"POST {parts.path or '/'}{'?' + parts.query if parts.query else ''} HTTP/1.1",
                f"Host: {parts.netloc}",
                "Content-Type: application/json",
                f"Content-Length: {len(body)}",
                "User-Agent: penstock",
                f"X-BASETEN-REQUEST-ID: {request_id}",
                "Connection: close",
            ]
            if self.rules.secrets:
                head.append(f"X-BASETEN-SIGNATURE: {signature(body, self.rules.secrets)}")
            writer.write("\r\n".join((*head, "", "")).encode("ascii"))
            writer.write(body)
            await writer.drain()
            return await _status(reader)
        finally:
            writer.close()

    async def _connect(
        self, addresses: Sequence[Address], port: int, tls_name: str | None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connects to the first address that answers."""
        for number, address in enumerate(addresses, 1):
            try:
                return await asyncio.open_connection(
                    str(address),
                    port,
                    ssl=self._tls if tls_name is not None else None,
                    server_hostname=tls_name,
                    limit=_ANSWER_HEAD_BYTES_MAX,
                )
            except OSError:
                if number == len(addresses):
                    raise
        raise AssertionError("there is an address at least")

    async def _addresses(self, host: str, port: int) -> list[Address]:
        """Looks `host` up; every one of its addresses must be allowed."""
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
        if not addresses:
            raise OSError(f"{host} has no address")
        if not self.rules.allow_private and not all(map(is_public, addresses)):
            raise BadWebhookError(_private(host))
        return addresses


async def _status(reader: asyncio.StreamReader) -> int:
    """Reads the status of the answer, behind interim ones."""
    while True:
        line = (await reader.readuntil(b"\r\n")).split()
        if len(line) < 2 or not line[0].startswith(b"HTTP/1.") or not line[1].isdigit():
            raise ValueError("the endpoint does not speak HTTP/1.1")
        status = int(line[1])
        if status >= 200:
            return status
        while await reader.readuntil(b"\r\n") != b"\r\n":
            pass


def _private(host: str) -> str:
    return (
        f"webhook_endpoint {host} is not on the public internet; "
        f"{ALLOW_PRIVATE_VARIABLE}=1 in the environment of the edge allows that"
    )
