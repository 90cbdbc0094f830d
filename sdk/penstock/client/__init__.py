"""The Python client: streams to deployments over WebSocket or gRPC, with typed errors."""

from __future__ import annotations

from penstock.client.client import Client
from penstock.client.stream import Stream

__all__ = ["Client", "Stream"]
