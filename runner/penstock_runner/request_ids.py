"""The ids that a request carries, in every log line that is written on its behalf (truss.md sections 1.3 and 2.6)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextvars import Token
from typing import Any

import structlog

ID_LENGTH_MAX = 128
"""Characters of an id that go into logs."""

_IDS = {b"x-baseten-request-id": "request_id", b"x-baseten-chain-request-id": "chain_request_id"}


def bind_request_ids(headers: Iterable[tuple[bytes, bytes]]) -> Mapping[str, Token[Any]]:
    """Has every log of this context carry them.

    Returns:
        What `structlog.contextvars.reset_contextvars` takes to undo it; empty when there was no id.
    """
    ids = {}
    for name, value in headers:
        key = _IDS.get(name)
        if key is not None:
            ids[key] = value[:ID_LENGTH_MAX].decode("latin-1")
    return structlog.contextvars.bind_contextvars(**ids) if ids else {}
