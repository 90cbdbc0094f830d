"""A model that is ready, and tracebacks as its author wants to see them."""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from starlette.websockets import WebSocket

import penstock
import penstock_runner
from penstock_runner.model.definition import ModelDefinition

TRACEBACK_LENGTH_MAX = 16_000
"""Characters of a traceback that are kept: the first and the last part. It travels to the controller in a status."""

_OWN_FOLDERS = tuple(str(Path(package.__path__[0]).resolve()) + "/" for package in (penstock, penstock_runner))


def _no_methods() -> ModelDefinition:
    return ModelDefinition(websocket=None, preprocess=None, predict=None, postprocess=None)


@dataclass(slots=True)
class LoadedModel:
    """An instance of the user's class after `load()`."""

    instance: object
    websocket: Callable[[WebSocket], Awaitable[None]] | None
    """Bound method; None when the model has only `predict`."""
    model_file: Path
    """Absolute; for trimming tracebacks."""
    definition: ModelDefinition = field(default_factory=_no_methods)
    """The methods by which it can be called, bound to `instance`."""
    predecessors: tuple[object, ...] = ()
    """Instances of earlier code that a hot reload must keep alive, because their end would be noticed."""


def format_user_traceback(exc: BaseException, model_file: Path) -> str:
    """Formats `exc` and its causes from the first frame of the user's on; without any frame of ours.

    Frames of libraries that the user's code called stay. When no frame is the user's, those of libraries stay.
    """
    whole = traceback.TracebackException.from_exception(exc, compact=True)
    _trim(whole, str(model_file), set())
    text = "".join(whole.format()).rstrip("\n")
    if len(text) <= TRACEBACK_LENGTH_MAX:
        return text
    half = TRACEBACK_LENGTH_MAX // 2
    return f"{text[:half]}\n  … {len(text) - 2 * half} characters left out …\n{text[-half:]}"


def format_user_stack(stack: traceback.StackSummary, model_file: Path) -> str:
    """Formats where a thread is now, trimmed as a traceback is; empty when it is in none but our own code."""
    return "".join(traceback.StackSummary.from_list(_user_frames(stack, str(model_file))).format()).rstrip("\n")


def _trim(whole: traceback.TracebackException, model_file: str, seen: set[int]) -> None:
    if id(whole) in seen:
        return
    seen.add(id(whole))
    whole.stack = traceback.StackSummary.from_list(_user_frames(whole.stack, model_file))
    for inner in (whole.__cause__, whole.__context__, *(getattr(whole, "exceptions", None) or ())):
        if inner is not None:
            _trim(inner, model_file, seen)


def _user_frames(stack: traceback.StackSummary, model_file: str) -> list[traceback.FrameSummary]:
    frames = [frame for frame in stack if not _is_own(frame.filename)]
    folder = str(Path(model_file).parent) + "/"
    first = next((index for index, frame in enumerate(frames) if frame.filename == model_file), None)
    if first is None:
        first = next((index for index, frame in enumerate(frames) if frame.filename.startswith(folder)), 0)
    return frames[first:]


def _is_own(filename: str) -> bool:
    return filename.startswith(_OWN_FOLDERS) or filename.startswith("<frozen importlib")
