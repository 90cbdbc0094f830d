"""HOST:PORT as written on the command line."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class HostPort:
    """An address to listen at."""

    host: str
    """Name or IP address, without brackets."""
    port: int
    """0 lets the system choose."""

    @classmethod
    def parse(cls, text: str) -> HostPort:
        """Reads "host:port" or "[ipv6]:port".

        Raises:
            ValueError: it is neither.
        """
        host, colon, port = text.rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise ValueError(f"expected HOST:PORT, got {text!r}; write an IPv6 address in brackets: [::1]:8000")
        if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
            raise ValueError(f"expected HOST:PORT with a port of 0 to 65535, got {text!r}")
        return cls(host, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def with_port(self, port: int) -> HostPort:
        return replace(self, port=port)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def reachable(self) -> HostPort:
        """The address to connect to: that of this machine where the host means all of its addresses."""
        if self.host == "0.0.0.0":
            return replace(self, host="127.0.0.1")
        return replace(self, host="::1") if self.host == "::" else self
