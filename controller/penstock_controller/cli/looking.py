"""Asks the controller for its status, once or again and again."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

import grpc

from penstock.api.control.v1 import admin_pb2
from penstock.state_dir import ControllerNotFoundError
from penstock_controller.cli.connection import admin_stub, find_address
from penstock_controller.cli.failures import CommandError, command_error

_AWAY = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED})


class UnreachableError(CommandError):
    """The controller is not known, or does not answer; it may be back in a moment."""


def get_status(arguments: argparse.Namespace, env: Mapping[str, str], timeout_s: float) -> admin_pb2.GetStatusResponse:
    """Asks once; the address is looked up anew, as a controller that was started again may have another one.

    Raises:
        UnreachableError: There is no answer.
        CommandError: The answer is an error.
    """
    try:
        with admin_stub(arguments, env) as stub:
            return stub.GetStatus(admin_pb2.GetStatusRequest(), timeout=timeout_s)
    except ControllerNotFoundError as exc:
        raise UnreachableError(str(exc)) from exc
    except grpc.RpcError as exc:
        error = command_error(exc, find_address(arguments, env))
        if isinstance(exc, grpc.Call) and exc.code() in _AWAY:
            raise UnreachableError(str(error)) from exc
        raise error from exc
