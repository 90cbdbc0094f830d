"""The ids that follow a request through a chain: its own, its chain's, and the caller's trace context."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType

import structlog

TRACE_PARENT = "traceparent"
REQUEST_ID = "x-baseten-request-id"
CHAIN_REQUEST_ID = "x-baseten-chain-request-id"

VALUE_LENGTH_MAX = 256
"""Longest value, in characters, that is passed on; a longer one is left out."""

_LOG_KEYS = ((REQUEST_ID, "request_id"), (CHAIN_REQUEST_ID, "chain_request_id"))
_NOTHING: Mapping[str, str] = MappingProxyType({})

_current: ContextVar[Mapping[str, str]] = ContextVar("penstock_chain_trace", default=_NOTHING)


def current() -> Mapping[str, str]:
    """Returns the headers that calls made now carry on, by name in lower case; without an id it has none for it."""
    return _current.get()


def trace_id() -> str | None:
    """Returns the trace context of the request that is being served, as it came.

    Without one it is the id of the request, by which its log lines are found; None outside of requests.
    """
    ids = _current.get()
    return ids.get(TRACE_PARENT) or ids.get(REQUEST_ID)


@contextmanager
def bound(headers: Mapping[str, str]) -> Iterator[None]:
    """Has the ids of `headers` hold for what runs inside: for calls, for `current()`, and for log lines.

    Tasks made inside have them, too. Left in another context than it was entered in (a generator that another task
    closes), it changes nothing there.

    Args:
        headers: Of the request that is served, by name in lower case, or any mapping that does not mind the case.
    """
    ids = {
        name: value
        for name in (TRACE_PARENT, REQUEST_ID, CHAIN_REQUEST_ID)
        if (value := headers.get(name)) and len(value) <= VALUE_LENGTH_MAX
    }
    token = _current.set(MappingProxyType(ids) if ids else _NOTHING)
    log_keys = {key: ids[name] for name, key in _LOG_KEYS if name in ids}
    log_tokens = structlog.contextvars.bind_contextvars(**log_keys) if log_keys else {}
    try:
        yield
    finally:
        try:
            _current.reset(token)
            if log_tokens:
                structlog.contextvars.reset_contextvars(**log_tokens)
        except ValueError:
            pass  # another context, which never had the ids
