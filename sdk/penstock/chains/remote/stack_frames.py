"""Which frames of a traceback are the user's."""

from __future__ import annotations

import traceback
from types import TracebackType

_OURS = frozenset({"penstock", "penstock_runner"})
_PLUMBING = frozenset({"aiohttp", "anyio", "asyncio", "concurrent", "contextlib", "starlette", "threading", "uvloop"})
"""Libraries between us and the user's code. Their frames are shown only where the user's code calls them."""


def user_frames(exc: BaseException) -> list[traceback.FrameSummary]:
    """Returns the frames of the user's code in the traceback of `exc`, outermost first.

    Left out are ours, before it and after it (a stub's), and those of libraries that ours call.
    """
    shown: list[tuple[object, int]] = []
    is_hidden = True
    trace: TracebackType | None = exc.__traceback__
    while trace is not None:
        package = str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
        if package in _OURS:
            is_hidden = True
        elif package not in _PLUMBING:
            is_hidden = False
        if not is_hidden:
            shown.append((trace.tb_frame, trace.tb_lineno))
        trace = trace.tb_next
    return list(traceback.StackSummary.extract(iter(shown)))  # type: ignore[arg-type]  # frame and line, as walk_tb has
