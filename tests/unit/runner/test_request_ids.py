from __future__ import annotations

import contextvars

import structlog

from penstock_runner.request_ids import ID_LENGTH_MAX, bind_request_ids


def bound(*headers: tuple[bytes, bytes]) -> dict[str, object]:
    def look() -> dict[str, object]:
        bind_request_ids(headers)
        return structlog.contextvars.get_contextvars()

    return contextvars.Context().run(look)


def test_ids_of_request_and_chain_are_bound() -> None:
    assert bound((b"x-baseten-request-id", b"r1"), (b"x-baseten-chain-request-id", b"c1"), (b"host", b"x")) == {
        "request_id": "r1",
        "chain_request_id": "c1",
    }


def test_a_request_without_ids_binds_nothing() -> None:
    assert bound((b"host", b"x")) == {}


def test_long_ids_are_clipped_and_any_bytes_are_taken() -> None:
    assert bound((b"x-baseten-request-id", b"\xff" * 1000)) == {"request_id": "\xff" * ID_LENGTH_MAX}


def test_binding_can_be_undone() -> None:
    def look() -> dict[str, object]:
        tokens = bind_request_ids([(b"x-baseten-request-id", b"r1")])
        structlog.contextvars.reset_contextvars(**tokens)
        return structlog.contextvars.get_contextvars()

    assert contextvars.Context().run(look) == {}
