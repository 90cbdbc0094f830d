"""One request over gRPC, with the answer as it comes."""

from __future__ import annotations

from collections.abc import Sequence

import grpc
from grpc_status import rpc_status

from penstock.api.inference.v1 import inference_pb2, inference_pb2_grpc
from penstock.cli import exit_status
from penstock.cli.call.payload import Body
from penstock.cli.call.predict import error_text
from penstock.cli.call.printer import Printer
from penstock.cli.call.target import Target
from penstock.cli.command_error import CommandError
from penstock.client.address import Target as ModelTarget
from penstock.client.address import grpc_metadata

MESSAGE_BYTES_MAX = 1 << 30
_OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.enable_http_proxy", 0),
)


def grpc_predict(
    target: Target,
    body: Body,
    headers: Sequence[tuple[str, str]],
    printer: Printer,
    *,
    timeout_s: float,
    stream: bool,
) -> None:
    """Sends the request, and shows the answer; with `stream` item by item, each on a line of its own.

    Raises:
        CommandError: There is no answer, or an error.
    """
    named = ModelTarget(target.name, target.environment, target.deployment)
    metadata = tuple(grpc_metadata(named) + [(name.lower(), value) for name, value in headers])
    try:
        with grpc.insecure_channel(target.grpc, options=_OPTIONS) as channel:
            stub = inference_pb2_grpc.InferenceServiceStub(channel)
            if stream:
                asked = inference_pb2.PredictStreamRequest(body=body.content, content_type=body.content_type)
                for item in stub.PredictStream(asked, metadata=metadata, timeout=timeout_s):
                    printer.part(item.body + b"\n" if printer.is_terminal else item.body)
            else:
                request = inference_pb2.PredictRequest(body=body.content, content_type=body.content_type)
                answer = stub.Predict(request, metadata=metadata, timeout=timeout_s)
                printer.answer(answer.body, answer.content_type)
    except grpc.RpcError as exc:
        raise _failure(exc, target.grpc, timeout_s) from None


def _failure(error: grpc.RpcError, address: str, timeout_s: float) -> CommandError:
    if not isinstance(error, grpc.Call):
        return CommandError(f"the call to {address} failed: {error}")
    code = error.code()
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return CommandError(f"no answer within {timeout_s:g} s; give it more with --timeout", exit_status.TIMED_OUT)
    text = _body_text(error) or error.details() or ""
    status = exit_status.NOT_FOUND if code is grpc.StatusCode.NOT_FOUND else exit_status.FAILED
    return CommandError(f"gRPC {code.name}: {text}", status)


def _body_text(error: grpc.Call) -> str:
    """Returns what the model answered, where the status carries it."""
    try:
        status = rpc_status.from_call(error)
    except ValueError:
        return ""
    for detail in status.details if status is not None else ():
        body = inference_pb2.ErrorBody()
        if detail.Unpack(body):
            return error_text(body.body)
    return ""
