"""What the client makes of close codes, refusals and gRPC statuses."""

from __future__ import annotations

import json

import pytest

from penstock.client.ends import (
    connection_lost,
    end_of_close_frame,
    end_of_grpc_status,
    end_of_local_close,
    end_of_lost_connection,
    refusal_of_http,
)
from penstock.close_codes import TABLE, End, EndCode
from penstock.errors import (
    CapacityError,
    ClientError,
    LifecycleError,
    NotFoundError,
    PenstockError,
    StreamClosedError,
    UpstreamError,
)


def retry_after_of(error: PenstockError) -> object:
    return getattr(error, "retry_after", "missing")


WITH_A_REASON = [row for row in TABLE.values() if row.reason]


@pytest.mark.parametrize("row", WITH_A_REASON, ids=lambda row: row.code)
@pytest.mark.parametrize("detail", ["", " and a detail"])
def test_a_close_frame_with_a_text_of_the_table_names_its_row(row: End, detail: str) -> None:
    assert end_of_close_frame(row.close_code, row.reason + detail).code is row.code


@pytest.mark.parametrize(
    ("close_code", "kind"),
    [(1001, LifecycleError), (1009, ClientError), (1011, UpstreamError), (1012, LifecycleError), (1013, CapacityError)],
)
def test_a_close_frame_with_another_text_keeps_its_kind(close_code: int, kind: type[PenstockError]) -> None:
    error = end_of_close_frame(close_code, "in other words").error()

    assert isinstance(error, kind)
    assert (error.close_code, error.reason) == (close_code, "in other words")


def test_a_code_of_the_applications_own_means_that_the_model_closed() -> None:
    end = end_of_close_frame(4001, "bad token")

    assert end.code is EndCode.MODEL_CLOSED
    assert not end.is_normal
    assert isinstance(end.error(), StreamClosedError)


@pytest.mark.parametrize("close_code", [1000, 1005])
def test_a_plain_close_is_normal(close_code: int) -> None:
    assert end_of_close_frame(close_code, "").is_normal


def test_a_close_of_our_own_is_normal_whatever_its_code() -> None:
    assert end_of_local_close(4000, "done").is_normal


def test_a_lost_connection_is_worth_another_try() -> None:
    end = end_of_lost_connection("reset by peer")

    error = end.error()

    assert not end.is_normal
    assert (error.code, error.close_code, error.retryable) == (EndCode.CLIENT_GONE, 1006, True)
    assert "reset by peer" in str(error)
    assert connection_lost("x").retryable


def test_a_refusal_of_the_edge_becomes_its_error() -> None:
    body = json.dumps({"error": "No free slot.", "code": "REPLICA_FULL", "retryable": True}).encode()

    error = refusal_of_http(503, "7", body)

    assert isinstance(error, CapacityError)
    assert (error.code, error.reason, retry_after_of(error)) == (EndCode.REPLICA_FULL, "No free slot.", 7.0)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, EndCode.BAD_UPGRADE),
        (401, EndCode.UNAUTHENTICATED),
        (404, EndCode.NOT_FOUND),
        (418, EndCode.BAD_UPGRADE),
        (429, EndCode.RATE_LIMITED),
        (500, EndCode.INTERNAL),
        (502, EndCode.REPLICA_LOST),
        (503, EndCode.REPLICA_NOT_READY),
    ],
)
@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'{"code": 7}', b"[" * 100_000])
def test_an_answer_that_is_not_the_edges_is_judged_by_its_status(status: int, code: EndCode, body: bytes) -> None:
    error = refusal_of_http(status, None, body)

    assert error.code is code
    assert str(status) in error.reason


@pytest.mark.parametrize("value", [None, "Wed, 21 Oct 2015 07:28:00 GMT", "-1", "²", "1.5"])
def test_a_retry_after_that_is_not_seconds_is_no_number(value: str | None) -> None:
    assert retry_after_of(refusal_of_http(503, value, b"")) is None


def test_a_status_with_our_detail_is_read_from_the_detail() -> None:
    end = end_of_grpc_status("UNAVAILABLE", "gone", code="REPLICA_LOST", close_code=1014)

    assert (end.code, end.close_code, end.reason) == (EndCode.REPLICA_LOST, 1014, "gone")


def test_a_status_without_our_detail_is_read_from_its_name() -> None:
    assert isinstance(end_of_grpc_status("NOT_FOUND", "").error(), NotFoundError)
    assert end_of_grpc_status("UNAVAILABLE", "reset").code is EndCode.CLIENT_GONE
    assert end_of_grpc_status("DATA_LOSS", "").code is EndCode.INTERNAL


def test_too_much_means_the_message_once_a_stream_is_open_and_the_replica_before() -> None:
    assert end_of_grpc_status("RESOURCE_EXHAUSTED", "", is_open=True).code is EndCode.MESSAGE_TOO_BIG
    assert end_of_grpc_status("RESOURCE_EXHAUSTED", "", is_open=False).code is EndCode.REPLICA_FULL


def test_a_code_of_a_newer_edge_is_an_internal_error_with_its_close_code() -> None:
    end = end_of_grpc_status("UNKNOWN", "new", code="NEVER_SEEN", close_code=4321)

    assert (end.code, end.close_code) == (EndCode.INTERNAL, 4321)
