from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2

from penstock.api.control.v1 import admin_pb2, admin_pb2_grpc
from penstock_controller.cli.failures import CommandError, command_error
from penstock_testing.fake_admin import FakeAdmin, refusal, served


def failure(admin: FakeAdmin) -> CommandError:
    """What becomes of a call to `admin`; the address is left out of the text."""
    with served(admin) as address, grpc.insecure_channel(address) as channel:
        with pytest.raises(grpc.RpcError) as raised:
            admin_pb2_grpc.AdminServiceStub(channel).GetStatus(admin_pb2.GetStatusRequest(), timeout=10)
        error = command_error(raised.value, address)
        return CommandError(str(error).replace(address, "ADDRESS"), error.status)


def answered(answer: object) -> CommandError:
    admin = FakeAdmin()
    admin.answer("GetStatus", answer)
    return failure(admin)


def test_what_does_not_exist_ends_with_four_and_the_text_of_the_controller() -> None:
    error = answered(refusal(grpc.StatusCode.NOT_FOUND, "no deployment 'foo'; there are: echo, voice"))

    assert (str(error), error.status) == ("no deployment 'foo'; there are: echo, voice", 4)


def test_a_refusal_ends_with_one_and_tells_the_reason_only_once() -> None:
    info = error_details_pb2.ErrorInfo(reason="INVALID_REQUEST", domain="penstock")
    bad = error_details_pb2.BadRequest()
    bad.field_violations.add(field="replicas", description="must be at most 10000")
    bad.field_violations.add(field="min_replica", description="it is above max_replica")

    error = answered(refusal(grpc.StatusCode.INVALID_ARGUMENT, "replicas: must be at most 10000", info, bad))

    assert str(error) == "replicas: must be at most 10000; min_replica: it is above max_replica"
    assert error.status == 1


def test_preconditions_and_the_time_of_the_next_try_are_told() -> None:
    precondition = error_details_pb2.PreconditionFailure()
    precondition.violations.add(description="the replica has ended")
    retry = error_details_pb2.RetryInfo(retry_delay=Duration(seconds=2, nanos=500_000_000))

    error = answered(refusal(grpc.StatusCode.FAILED_PRECONDITION, "cannot undrain", precondition, retry))

    assert str(error) == "cannot undrain; the replica has ended; try again in 2.5 s"


def test_a_controller_that_lacks_the_call_is_called_older() -> None:
    error = failure(FakeAdmin())

    assert str(error).startswith("the controller at ADDRESS does not know this command: it is older than this program")
    assert error.status == 1


@pytest.mark.parametrize("code", [grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL])
def test_a_defect_points_to_the_log(code: grpc.StatusCode) -> None:
    assert str(answered(code)) == "a defect of the controller at ADDRESS, see its log: as told"


def test_an_error_without_text_is_named_by_its_code() -> None:
    error = answered(refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, ""))

    assert str(error) == "the controller at ADDRESS answered RESOURCE_EXHAUSTED"


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (grpc.StatusCode.UNAVAILABLE, "no answer from the controller at ADDRESS: as told"),
        (grpc.StatusCode.CANCELLED, "the controller at ADDRESS ended the call; it is going away"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "no answer from the controller at ADDRESS in time"),
    ],
)
def test_a_controller_that_goes_away_is_named(code: grpc.StatusCode, text: str) -> None:
    assert str(answered(code)).startswith(text)


def test_an_address_where_nobody_listens_is_told_with_the_reason(tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/none.sock"
    with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError) as raised:
        admin_pb2_grpc.AdminServiceStub(channel).GetStatus(admin_pb2.GetStatusRequest(), timeout=10)

    assert str(command_error(raised.value, address)) == (
        f"no answer from the controller at {address}: No such file or directory"
    )


def test_an_error_that_is_no_answer_is_shown_as_it_is() -> None:
    assert str(command_error(grpc.RpcError("odd"), "here")) == "the call to the controller at here failed: odd"
