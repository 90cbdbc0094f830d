"""Runs a chain in this process."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from penstock.chains import registry
from penstock.chains.context import DeployedServiceDescriptor
from penstock.chains.instantiation import LocalRun, active


@contextmanager
def run_local(
    secrets: Mapping[str, str] | None = None,
    data_dir: Path | str | None = None,
    chainlet_to_service: Mapping[str, DeployedServiceDescriptor] | None = None,
) -> Iterator[None]:
    """Lets chainlets be made in the body of the `with`, with their dependencies in the same process.

    Each dependency is made once. What is given by keyword is taken instead: `Top(rand=FakeRand())`. Calls are plain
    calls: no network, no encoding, no retries, no timeouts, and a conversation passes its iterators as they are. What
    is made here works on after the end of the `with`.

    A chainlet may be made at the level of a module or in the function that has the `with`, and by what injects
    dependencies; in a helper that this function calls, or in a chainlet, it may not. In other threads chainlets are
    made as outside: they get nothing injected.

    Args:
        secrets: `context.secrets`, by name.
        data_dir: `context.data_dir`.
        chainlet_to_service: `context.chainlet_to_service`, by display name.

    Raises:
        ChainsUsageError: chainlet classes that have been defined break rules; the text has every problem.
    """
    registry.raise_errors()
    context = {
        "secrets": {} if secrets is None else secrets,
        "data_dir": None if data_dir is None else Path(data_dir),
        "chainlet_to_service": {} if chainlet_to_service is None else chainlet_to_service,
    }
    with active(LocalRun(context, _entering_frame())):
        yield


def _entering_frame() -> FrameType:
    """Returns the frame with the `with`."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename in (__file__, contextlib.__file__):
        frame = frame.f_back
    return frame
