"""What a caller of the controller can do wrong."""

from __future__ import annotations


class ControllerError(Exception):
    """A request that the controller refuses; the text is for the caller."""

    reason = "REFUSED"
    """Stable code in google.rpc.ErrorInfo."""


class InvalidRequestError(ControllerError):
    """The request itself is wrong."""

    reason = "INVALID_REQUEST"


class UnknownDeploymentError(ControllerError):
    """A runner serves a deployment that this controller does not have."""

    reason = "UNKNOWN_DEPLOYMENT"


class DuplicateReplicaError(ControllerError):
    """Another live process already has this replica id."""

    reason = "DUPLICATE_REPLICA"


class TooManySessionsError(ControllerError):
    """A limit on connected runners or edges is reached."""

    reason = "TOO_MANY_SESSIONS"


class NoRoomError(ControllerError):
    """A bound on what the controller keeps, or does at once, is reached."""

    reason = "NO_ROOM"


class NotFoundError(ControllerError):
    """What an operator names does not exist."""

    reason = "NOT_FOUND"


class AmbiguousNameError(ControllerError):
    """What an operator names may be several things."""

    reason = "AMBIGUOUS_NAME"


class ConflictError(ControllerError):
    """What an operator asks for does not go with the state of the thing."""

    reason = "CONFLICT"
