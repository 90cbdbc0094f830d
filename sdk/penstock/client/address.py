"""Where an edge is, and which path or metadata reaches a deployment on it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote, urlsplit

_SCHEMES: dict[str, tuple[Literal["websocket", "grpc"], bool]] = {
    "ws": ("websocket", False),
    "http": ("websocket", False),
    "wss": ("websocket", True),
    "https": ("websocket", True),
    "grpc": ("grpc", False),
    "grpcs": ("grpc", True),
}


@dataclass(frozen=True, slots=True)
class Address:
    """An edge, and how to speak to it."""

    transport: Literal["websocket", "grpc"]
    is_secure: bool
    authority: str
    """`host` or `host:port`; an IPv6 host is in brackets. A gRPC address always has a port."""
    base_path: str
    """Path in front of the edge's own paths (a reverse proxy's prefix): empty, or "/…" without a final slash."""

    @property
    def url(self) -> str:
        """The address as a URL, in one of the schemes ws, wss, grpc and grpcs."""
        scheme = ("ws" if self.transport == "websocket" else "grpc") + ("s" if self.is_secure else "")
        return f"{scheme}://{self.authority}{self.base_path}"


@dataclass(frozen=True, slots=True)
class Target:
    """The deployment that a stream is for."""

    model: str
    """Empty: the only deployment that the edge serves."""
    environment: str | None
    deployment: str | None

    def __post_init__(self) -> None:
        if self.environment is not None and self.deployment is not None:
            raise ValueError("name either an environment or a deployment, not both")
        if not self.model and (self.environment is not None or self.deployment is not None):
            raise ValueError("an environment or a deployment needs the model's name")


def parse_address(url: str) -> Address:
    """Reads the URL of an edge.

    Raises:
        ValueError: The URL is not one of an edge; the message says what is expected.
    """
    expected = "expected ws://host:port, wss://, http://, https://, grpc://host:port or grpcs://"
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES:
        raise ValueError(f"cannot use {url!r} as the address of an edge: {expected}")
    transport, is_secure = _SCHEMES[parts.scheme]
    # Credentials in a URL end up in logs and tracebacks, and the rest would be dropped without a word.
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("the address of an edge has no user, query or fragment; pass credentials as token=")
    try:
        port = parts.port
    except ValueError as exc:
        raise ValueError(f"cannot use {url!r} as the address of an edge: {exc}") from exc
    if not parts.hostname:
        raise ValueError(f"the address {url!r} names no host: {expected}")
    base_path = parts.path.rstrip("/")
    if transport == "grpc" and port is None:
        raise ValueError(f"the gRPC address {url!r} needs a port: grpc://host:port")
    if transport == "grpc" and base_path:
        raise ValueError(f"the gRPC address {url!r} cannot have a path")
    return Address(transport, is_secure, parts.netloc, base_path)


def websocket_path(target: Target) -> str:
    """The edge's path for streams to `target`."""
    if not target.model:
        return "/v1/websocket"
    path = f"/model/{quote(target.model, safe='')}"
    if target.deployment is not None:
        path += f"/deployment/{quote(target.deployment, safe='')}"
    elif target.environment is not None:
        path += f"/environments/{quote(target.environment, safe='')}"
    return f"{path}/websocket"


def grpc_metadata(target: Target) -> list[tuple[str, str]]:
    """The metadata by which the edge finds `target`."""
    named = (
        ("penstock-model", target.model),
        ("penstock-environment", target.environment),
        ("penstock-deployment", target.deployment),
    )
    return [(key, value) for key, value in named if value]
