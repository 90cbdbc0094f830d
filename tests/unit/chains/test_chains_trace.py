"""Ids that follow a request through a chain."""

from __future__ import annotations

import asyncio
import contextvars

import structlog

from penstock.chains.remote import trace

HEADERS = {"traceparent": "TRACE", "x-baseten-request-id": "r1", "x-baseten-chain-request-id": "c1", "cookie": "secret"}


def test_ids_hold_inside_and_nowhere_else() -> None:
    with trace.bound(HEADERS):
        inside = dict(trace.current()), trace.trace_id()

    assert inside[0] == {"traceparent": "TRACE", "x-baseten-request-id": "r1", "x-baseten-chain-request-id": "c1"}
    assert inside[1] == "TRACE"
    assert trace.current() == {}
    assert trace.trace_id() is None


def test_without_a_trace_the_id_of_the_request_tells_where_to_look() -> None:
    with trace.bound({"x-baseten-request-id": "r1"}):
        assert trace.trace_id() == "r1"


def test_an_inner_request_without_ids_has_none() -> None:
    with trace.bound(HEADERS), trace.bound({}):
        assert trace.current() == {}


def test_log_lines_carry_the_ids() -> None:
    with trace.bound(HEADERS):
        inside = structlog.contextvars.get_contextvars()

    assert inside == {"request_id": "r1", "chain_request_id": "c1"}
    assert structlog.contextvars.get_contextvars() == {}


def test_tasks_inherit_the_ids() -> None:
    async def run() -> str | None:
        async def inner() -> str | None:
            return trace.trace_id()

        with trace.bound(HEADERS):
            task = asyncio.create_task(inner())
        return await task

    assert asyncio.run(run()) == "TRACE"


def test_an_overlong_value_is_not_passed_on() -> None:
    with trace.bound({"traceparent": "x" * (trace.VALUE_LENGTH_MAX + 1), "x-baseten-request-id": "r1"}):
        assert trace.current() == {"x-baseten-request-id": "r1"}


def test_leaving_in_another_context_changes_nothing_there() -> None:
    manager = trace.bound(HEADERS)
    contextvars.copy_context().run(manager.__enter__)

    with trace.bound({"traceparent": "OTHER"}):
        manager.__exit__(None, None, None)
        assert trace.trace_id() == "OTHER"
