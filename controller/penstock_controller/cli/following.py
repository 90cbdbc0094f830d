"""Follows what the controller tells, over its restarts."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

import grpc

from penstock.api.control.v1 import admin_pb2_grpc
from penstock.state_dir import ControllerNotFoundError
from penstock_controller.cli.connection import admin_stub, find_address
from penstock_controller.cli.failures import CommandError, command_error

RETRY_S_MIN, RETRY_S_MAX = 0.2, 2.0
"""Time between two attempts to reach a controller that went away: doubles up to the second."""

Item = TypeVar("Item")

Attempt = Callable[[admin_pb2_grpc.AdminServiceStub, float | None], Iterator[Item]]
"""Asks, and yields what comes until the call ends; the number is the time left in seconds, None without a limit."""

_PASSING = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED})


def follow(
    arguments: argparse.Namespace,
    env: Mapping[str, str],
    attempt: Attempt[Item],
    *,
    duration_s: float | None,
    tell: Callable[[str], None],
    wait: Callable[[float], None] = time.sleep,
) -> Iterator[Item]:
    """Yields what `attempt` yields, and tries again for as long as it takes once it has yielded for the first time.

    Args:
        arguments: Those of `add_connection`.
        env: Where the address may come from.
        attempt: Yields at least once when the controller answers.
        duration_s: After which it ends; None follows until the process is interrupted.
        tell: Takes what people should know: that the controller went away, that it is back.
        wait: Takes the seconds until the next attempt.

    Raises:
        CommandError: The controller did not answer the first time, or will never answer this.
    """
    ends_at = None if duration_s is None else time.monotonic() + duration_s
    answered = False
    lost = False
    pause = RETRY_S_MIN
    while True:
        left = None if ends_at is None else ends_at - time.monotonic()
        if left is not None and left <= 0:
            return
        problem = "it has ended the call"
        try:
            with admin_stub(arguments, env) as stub:
                for item in attempt(stub, left):
                    if lost:
                        tell("the controller answers again")
                    answered, lost, pause = True, False, RETRY_S_MIN
                    yield item
        except (grpc.RpcError, ControllerNotFoundError) as exc:
            if ends_at is not None and time.monotonic() >= ends_at:
                return
            error = _told(exc, arguments, env)
            if not answered or not _passes(exc):
                raise error from exc
            problem = str(error)
        if not lost:
            tell(f"the controller went away ({problem}); waiting for it")
            lost = True
        wait(pause if ends_at is None else max(0.0, min(pause, ends_at - time.monotonic())))
        pause = min(pause * 2, RETRY_S_MAX)


def _told(
    error: grpc.RpcError | ControllerNotFoundError, arguments: argparse.Namespace, env: Mapping[str, str]
) -> CommandError:
    if isinstance(error, ControllerNotFoundError):
        return CommandError(str(error))
    try:
        address = find_address(arguments, env)
    except ControllerNotFoundError:
        address = "its address"
    return command_error(error, address)


def _passes(error: grpc.RpcError | ControllerNotFoundError) -> bool:
    return isinstance(error, ControllerNotFoundError) or (isinstance(error, grpc.Call) and error.code() in _PASSING)
