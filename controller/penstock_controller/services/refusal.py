"""Turns errors of the controller into gRPC statuses with google.rpc details."""

from __future__ import annotations

from typing import Any, NoReturn

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from penstock_controller.errors import (
    AmbiguousNameError,
    ConflictError,
    ControllerError,
    DuplicateReplicaError,
    InvalidRequestError,
    NoRoomError,
    NotFoundError,
    TooManySessionsError,
    UnknownDeploymentError,
)

_CODES = {
    InvalidRequestError: code_pb2.INVALID_ARGUMENT,
    AmbiguousNameError: code_pb2.INVALID_ARGUMENT,
    NotFoundError: code_pb2.NOT_FOUND,
    ConflictError: code_pb2.FAILED_PRECONDITION,
    UnknownDeploymentError: code_pb2.NOT_FOUND,
    DuplicateReplicaError: code_pb2.ALREADY_EXISTS,
    NoRoomError: code_pb2.RESOURCE_EXHAUSTED,
    TooManySessionsError: code_pb2.RESOURCE_EXHAUSTED,
}

ERROR_DOMAIN = "penstock"


async def refuse(context: grpc.aio.ServicerContext[Any, Any], error: ControllerError) -> NoReturn:
    """Ends the call with the status of `error`."""
    detail = AnyMessage()
    detail.Pack(error_details_pb2.ErrorInfo(reason=error.reason, domain=ERROR_DOMAIN))
    status = rpc_status.to_status(status_pb2.Status(code=_CODES[type(error)], message=str(error), details=[detail]))
    await context.abort(status.code, status.details, status.trailing_metadata)
