"""What goes wrong between the command line and the controller, as one line for people and an exit status."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from penstock_controller.cli import exit_status


class CommandError(Exception):
    """The command cannot be done. Shown as "controller: TEXT"; `status` is what the process ends with."""

    def __init__(self, text: str, status: int = exit_status.FAILED) -> None:
        super().__init__(text)
        self.status = status


def command_error(error: grpc.RpcError, address: str) -> CommandError:
    """Turns what a call ended with into what people need to know.

    Args:
        error: From a call.
        address: Of the controller that was called.
    """
    if not isinstance(error, grpc.Call):
        return CommandError(f"the call to the controller at {address} failed: {error}")
    code, text = error.code(), error.details() or ""
    if code is grpc.StatusCode.UNAVAILABLE:
        return CommandError(f"no answer from the controller at {address}: {_reason(text)}")
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return CommandError(f"no answer from the controller at {address} in time; give it more with --timeout")
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return CommandError(
            f"the controller at {address} does not know this command: it is older than this program; "
            "end it and start it again with the version that is installed"
        )
    if code is grpc.StatusCode.CANCELLED:
        return CommandError(f"the controller at {address} ended the call; it is going away")
    status = exit_status.NOT_FOUND if code is grpc.StatusCode.NOT_FOUND else exit_status.FAILED
    text = text or f"the controller at {address} answered {code.name}"
    if code in {grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL}:
        text = f"a defect of the controller at {address}, see its log: {text}"
    return CommandError("; ".join([text, *_details(error, text)]), status)


def _details(error: grpc.Call, text: str) -> Iterator[str]:
    """What the google.rpc details say beyond the text."""
    try:
        status = rpc_status.from_call(error)
    except ValueError:
        # The details contradict the status: the status counts.
        return
    if status is None:
        return
    for detail in status.details:
        bad, precondition, retry = (
            error_details_pb2.BadRequest(),
            error_details_pb2.PreconditionFailure(),
            error_details_pb2.RetryInfo(),
        )
        if detail.Unpack(bad):
            said = [f"{v.field}: {v.description}" for v in bad.field_violations if v.description not in text]
            yield from said
        elif detail.Unpack(precondition):
            yield from (v.description for v in precondition.violations if v.description not in text)
        elif detail.Unpack(retry):
            yield f"try again in {retry.retry_delay.seconds + retry.retry_delay.nanos / 1e9:g} s"


def _reason(text: str) -> str:
    """The part of gRPC's text that says why an address does not answer."""
    if text.startswith(("failed to connect", "errors resolving")):
        text = text.rpartition(": ")[2].strip("]")
    return text or "unavailable"
