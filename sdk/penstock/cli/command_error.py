"""What a command of `penstock` ends with when it cannot be done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.cli import exit_status

if TYPE_CHECKING:
    import grpc


class CommandError(Exception):
    """The command cannot be done. Shown as "penstock COMMAND: TEXT"; `status` is what the process ends with."""

    def __init__(self, text: str, status: int = exit_status.FAILED) -> None:
        super().__init__(text)
        self.status = status


class ReaderGoneError(Exception):
    """Nobody reads what the command prints any more (`penstock logs | head`)."""


def refused_call(error: grpc.RpcError, address: str) -> CommandError:
    """Turns what a call to the controller ended with into what people need to know.

    Args:
        error: From a call.
        address: Of the controller that was called.
    """
    # Whoever has an error of grpc has imported it; `penstock --help` has not.
    import grpc

    if not isinstance(error, grpc.Call):
        return CommandError(f"the call to the controller at {address} failed: {error}")
    code, text = error.code(), error.details() or ""
    match code:
        case grpc.StatusCode.UNAVAILABLE:
            reason = text.rpartition(": ")[2].strip("]") or "it does not listen"
            return CommandError(f"no answer from the controller at {address} ({reason}); is `penstock up` running?")
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return CommandError(f"no answer from the controller at {address} in time", exit_status.TIMED_OUT)
        case grpc.StatusCode.UNIMPLEMENTED:
            return CommandError(
                f"the controller at {address} does not know this command: it is older than this program; "
                "start it again with the version that is installed"
            )
        case grpc.StatusCode.CANCELLED:
            return CommandError(f"the controller at {address} ended the call; it is going away")
        case grpc.StatusCode.UNKNOWN | grpc.StatusCode.INTERNAL:
            return CommandError(f"a defect of the controller at {address}, see its log: {text}")
        case grpc.StatusCode.NOT_FOUND:
            return CommandError(text or "not found", exit_status.NOT_FOUND)
        case _:
            return CommandError(text or f"the controller at {address} answered {code.name}")
