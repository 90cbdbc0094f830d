from __future__ import annotations

import pickle

import pytest

from penstock.close_codes import TABLE, EndCode
from penstock.errors import (
    AuthError,
    CapacityError,
    ClientError,
    InternalError,
    LifecycleError,
    NotFoundError,
    PenstockError,
    StreamClosedError,
    UpstreamError,
    error_for,
)

KINDS = (ClientError, CapacityError, UpstreamError, LifecycleError, InternalError)


@pytest.mark.parametrize("code", EndCode)
def test_every_code_has_an_error_with_the_values_of_its_row(code: EndCode) -> None:
    error = error_for(code)
    row = TABLE[code]
    assert (error.code, error.close_code, error.reason, error.retryable) == (
        code,
        row.close_code,
        row.reason,
        row.retryable,
    )
    assert sum(isinstance(error, kind) for kind in KINDS) == 1


@pytest.mark.parametrize("code", EndCode)
def test_only_what_the_client_cannot_change_is_retryable(code: EndCode) -> None:
    error = error_for(code)
    if isinstance(error, ClientError):
        assert not error.retryable
    if isinstance(error, CapacityError):
        assert error.retryable


def test_received_close_code_and_reason_are_kept() -> None:
    error = error_for(EndCode.MODEL_CLOSED, 4001, "bye")
    assert (error.close_code, error.reason) == (4001, "bye")
    assert isinstance(error, StreamClosedError)
    assert str(error) == "MODEL_CLOSED (4001): bye"


def test_empty_reason_received_is_not_replaced_by_the_table() -> None:
    assert str(error_for(EndCode.REPLICA_LOST, 1014, "")) == "REPLICA_LOST (1014)"


def test_unknown_code_is_an_internal_error() -> None:
    error = error_for("A_CODE_OF_NEXT_YEAR", 1011, "why")
    assert isinstance(error, InternalError)
    assert (error.close_code, error.reason) == (1011, "why")


def test_errors_of_auth_and_address_are_told_apart() -> None:
    assert type(error_for(EndCode.NOT_FOUND)) is NotFoundError
    assert type(error_for(EndCode.UNAUTHENTICATED)) is AuthError


def test_errors_survive_pickling() -> None:
    error = error_for(EndCode.REPLICA_FULL, 1013, "full")
    copy: PenstockError = pickle.loads(pickle.dumps(error))
    assert type(copy) is CapacityError
    assert vars(copy) == vars(error)
