"""Penstock: real-time, bidirectional model inference. What users import.

    from penstock import Client

The names below are loaded when they are first used, so that `import penstock` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.client import Client, Stream
    from penstock.close_codes import EndCode
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
    )

    __version__: str

__all__ = [
    "AuthError",
    "CapacityError",
    "Client",
    "ClientError",
    "EndCode",
    "InternalError",
    "LifecycleError",
    "NotFoundError",
    "PenstockError",
    "Stream",
    "StreamClosedError",
    "UpstreamError",
    "__version__",
]

_HOMES = {"Client": "penstock.client", "Stream": "penstock.client", "EndCode": "penstock.close_codes"}


# A type checker that saw this function would take every name for a name of ours.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name == "__version__":
            from importlib.metadata import version

            return version("penstock")
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_HOMES.get(name, "penstock.errors")), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
