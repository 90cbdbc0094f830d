from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.close_codes import (
    ABNORMAL,
    NO_STATUS,
    REASON_BYTES_MAX,
    TABLE,
    EndCode,
    clip_reason,
    end,
    may_be_sent,
)

ROOT = Path(__file__).resolve().parents[2]


def test_every_end_has_exactly_one_row() -> None:
    assert set(TABLE) == set(EndCode)
    assert all(TABLE[code].code is code for code in EndCode)


@pytest.mark.parametrize("code", EndCode)
def test_a_row_is_what_each_protocol_allows(code: EndCode) -> None:
    row = TABLE[code]

    assert row.grpc_status in grpc.StatusCode.__members__
    assert row.http_status == 200 or 400 <= row.http_status <= 599
    assert may_be_sent(row.close_code) or row.close_code == ABNORMAL
    assert len(row.reason.encode()) <= REASON_BYTES_MAX
    assert row.meaning


@pytest.mark.parametrize("code", EndCode)
def test_a_code_is_upper_snake_case_and_its_own_name(code: EndCode) -> None:
    """The codes are part of the public interface: they stand in ErrorDetail, in HTTP bodies, logs and metrics."""
    assert code.value == code.name
    assert re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*", code)


@pytest.mark.parametrize("code", [code for code in EndCode if TABLE[code].http_status >= 400])
def test_a_refusal_tells_the_client_why(code: EndCode) -> None:
    if code not in (EndCode.CLIENT_CLOSED, EndCode.CLIENT_GONE):
        assert TABLE[code].reason


# The fixed points of the design: clients of Truss depend on these.
@pytest.mark.parametrize(
    ("code", "close_code", "reason"),
    [
        (EndCode.COMPLETED, 1000, ""),
        (EndCode.MODEL_ERROR, 1011, "Internal Server Error (in model/chainlet)."),
        (EndCode.NOT_WEBSOCKET, 1003, "WebSocket is not implemented on this deployment."),
    ],
)
def test_fixed_close_codes_and_reasons(code: EndCode, close_code: int, reason: str) -> None:
    assert (TABLE[code].close_code, TABLE[code].reason) == (close_code, reason)


@pytest.mark.parametrize(
    ("code", "close_code"),
    [
        (EndCode.MESSAGE_TOO_BIG, 1009),
        (EndCode.BAD_UTF8, 1007),
        (EndCode.POLICY_VIOLATION, 1008),
        (EndCode.EDGE_DRAINING, 1012),
        (EndCode.REPLICA_DRAINING, 1012),
        (EndCode.REPLICA_FULL, 1013),
        (EndCode.REPLICA_LOST, 1014),
    ],
)
def test_fixed_close_codes(code: EndCode, close_code: int) -> None:
    assert TABLE[code].close_code == close_code


@pytest.mark.parametrize(
    ("code", "http_status"),
    [
        (EndCode.UNAUTHENTICATED, 401),
        (EndCode.PERMISSION_DENIED, 403),
        (EndCode.NOT_FOUND, 404),
        (EndCode.HANDSHAKE_TIMEOUT, 408),
        (EndCode.RATE_LIMITED, 429),
        (EndCode.QUEUE_FULL, 503),
        (EndCode.QUEUE_TIMEOUT, 504),
    ],
)
def test_fixed_refusals_before_the_upgrade(code: EndCode, http_status: int) -> None:
    assert TABLE[code].http_status == http_status


@pytest.mark.parametrize("code", [code for code in EndCode if TABLE[code].close_code in (1012, 1013, 1014)])
def test_what_says_try_again_may_be_tried_again(code: EndCode) -> None:
    assert TABLE[code].retryable


def test_an_unknown_code_counts_as_internal() -> None:
    """A newer peer may know causes that this one does not."""
    assert end("FROM_THE_FUTURE") is TABLE[EndCode.INTERNAL]
    assert end("REPLICA_LOST") is TABLE[EndCode.REPLICA_LOST]


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1014, 3000, 4999])
def test_codes_that_may_stand_in_a_close_frame(code: int) -> None:
    assert may_be_sent(code)


@pytest.mark.parametrize("code", [-1, 0, 999, 1004, NO_STATUS, ABNORMAL, 1015, 1016, 2999, 5000, 65535])
def test_codes_that_may_not_stand_in_a_close_frame(code: int) -> None:
    """RFC 6455 sections 7.4.1 and 7.4.2."""
    assert not may_be_sent(code)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=200))
def test_a_clipped_reason_fits_and_is_the_beginning(reason: str) -> None:
    clipped = clip_reason(reason)

    assert reason.startswith(clipped)
    assert len(clipped.encode()) <= REASON_BYTES_MAX
    assert clipped == reason or len(clipped.encode()) > REASON_BYTES_MAX - 4


def test_the_page_in_docs_is_current() -> None:
    done = subprocess.run(
        [sys.executable, "-P", ROOT / "tools/generate_docs.py", "--check"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
