"""GET requests to web servers: http and https only, with bounded redirects, and secrets for the first host only."""

from __future__ import annotations

import base64
import email.utils
import http.client
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast
from urllib.parse import SplitResult, unquote, urljoin, urlsplit, urlunsplit

from penstock.weights.errors import TransferError
from penstock.weights.sources import redacted

REDIRECTS_MAX = 10
TIMEOUT_S = 30.0
"""Time to connect, and time in which some bytes must come."""
RETRYABLE_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
REDIRECT_STATUS = frozenset({301, 302, 303, 307, 308})
USER_AGENT = "penstock"
PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Credential:
    """What opens a server; never part of a text."""

    authorization: str
    """Value of the header Authorization."""

    def __repr__(self) -> str:
        return "Credential(…)"


def bearer(secret: str) -> Credential:
    """Returns the credential of a secret: a whole header value ("Bearer …", "Basic …"), or a token alone."""
    value = secret.strip()
    return Credential(value if value.lower().startswith(("bearer ", "basic ", "token ")) else f"Bearer {value}")


class HttpClient:
    """Opens URLs. Proxies come from the environment, as everywhere in Python (http_proxy, https_proxy, no_proxy)."""

    def __init__(self, *, timeout_s: float = TIMEOUT_S, context: ssl.SSLContext | None = None) -> None:
        self._timeout_s = timeout_s
        self._opener = urllib.request.OpenerDirector()
        # Not build_opener: it also opens file:, ftp: and data: URLs, and follows redirects to them by itself.
        for handler in (
            urllib.request.ProxyHandler(),
            urllib.request.HTTPHandler(),
            urllib.request.HTTPSHandler(context=context or ssl.create_default_context()),
        ):
            self._opener.add_handler(handler)

    def get(
        self, url: str, headers: Mapping[str, str], credential: Credential | None = None
    ) -> tuple[http.client.HTTPResponse, Mapping[str, str]]:
        """Sends GET and follows redirects; returns the response and the headers of the first answer that has each name.

        Headers of redirects count, because the Hub gives checksums there. The names are in lower case.

        Raises:
            TransferError: no answer, too many redirects, or a redirect to where none is followed.
        """
        home = _origin(urlsplit(url))
        collected: dict[str, str] = {}
        target = url
        for _ in range(REDIRECTS_MAX + 1):
            parts = urlsplit(target)
            own = credential if _origin(parts) == home else None
            response = self._send(parts, headers, own)
            is_redirect = response.status in REDIRECT_STATUS
            for name, value in response.headers.items():
                lowered = name.lower()
                if not is_redirect or lowered.startswith("x-linked-"):
                    collected.setdefault(lowered, value)
            if not is_redirect:
                return response, collected
            location = response.headers.get("Location", "")
            response.close()
            target = _next(target, location)
        raise TransferError(f"{redacted(url)} redirects more than {REDIRECTS_MAX} times", retryable=False)

    def _send(
        self, parts: SplitResult, headers: Mapping[str, str], credential: Credential | None
    ) -> http.client.HTTPResponse:
        bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment=""))
        request = urllib.request.Request(_quoted(bare), headers={"User-Agent": USER_AGENT, **headers})
        if credential is None and parts.username is not None:
            user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            credential = Credential("Basic " + base64.b64encode(user.encode()).decode())
        if credential is not None:
            request.add_unredirected_header("Authorization", credential.authorization)
        try:
            response = self._opener.open(request, timeout=self._timeout_s)
        except urllib.error.URLError as exc:
            if isinstance(exc.reason, TimeoutError):
                raise self._silence(parts) from None
            is_final = isinstance(exc.reason, ssl.SSLCertVerificationError)
            raise TransferError(f"{_host(parts)} cannot be reached: {exc.reason}", retryable=not is_final) from None
        except TimeoutError:
            raise self._silence(parts) from None
        except (http.client.HTTPException, OSError) as exc:
            message = f"{_host(parts)} gave no valid answer: {type(exc).__name__}: {exc}"
            raise TransferError(message, retryable=True) from None
        except ValueError as exc:
            # For example a secret with a line break, which would be a second header.
            message = f"the request to {_host(parts)} is not valid: {type(exc).__name__}"
            raise TransferError(message, retryable=False) from None
        return cast(http.client.HTTPResponse, response)

    def _silence(self, parts: SplitResult) -> TransferError:
        return TransferError(f"{_host(parts)} did not answer within {self._timeout_s:g} s", retryable=True)


def refusal(url: str, status: int, reason: str, headers: Mapping[str, str], now: datetime) -> TransferError:
    """Returns the error for an answer that is no file."""
    text = f"{redacted(url)} answered {status} {reason}".rstrip()
    if status in (401, 403):
        text += "; it needs a secret, or the secret given does not open it"
    elif status in (404, 410):
        text += "; check the address"
    return TransferError(
        text, retryable=status in RETRYABLE_STATUS, retry_after_s=_retry_after(headers.get("retry-after", ""), now)
    )


def _retry_after(value: str, now: datetime) -> float | None:
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        at = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    aware = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max((aware - now).total_seconds(), 0.0)


def _next(url: str, location: str) -> str:
    nowhere = TransferError(f"{redacted(url)} redirects to nowhere ({redacted(location)[:200]!r})", retryable=False)
    try:
        target = urljoin(url, location)
        before, after = urlsplit(url), urlsplit(target)
        _ = after.port
    except ValueError:
        raise nowhere from None
    if not location:
        raise nowhere
    if after.scheme not in PORTS:
        raise TransferError(f"{redacted(url)} redirects to {after.scheme}://, which is not followed", retryable=False)
    if not after.hostname:
        raise nowhere
    if before.scheme == "https" and after.scheme == "http":
        raise TransferError(f"{redacted(url)} redirects from https to http, which is not followed", retryable=False)
    return target


def _origin(parts: SplitResult) -> tuple[str, str, int]:
    return parts.scheme, (parts.hostname or "").lower(), parts.port or PORTS.get(parts.scheme, 0)


def _host(parts: SplitResult) -> str:
    return parts.netloc.rpartition("@")[2]


def _quoted(url: str) -> str:
    """Percent-encodes what is not ASCII, as browsers do, and leaves everything else alone."""
    try:
        parts = urlsplit(url)
        host = parts.netloc if parts.netloc.isascii() else parts.netloc.encode("idna").decode()
    except (UnicodeError, ValueError):
        raise TransferError(f"{redacted(url)} is not a valid URL", retryable=False) from None
    encoded = urlunsplit(parts._replace(netloc=host)).encode("utf-8", "replace")
    return "".join(chr(byte) if 0x21 <= byte <= 0x7E else f"%{byte:02X}" for byte in encoded)
