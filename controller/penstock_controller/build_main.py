"""The process of a build: `penstock.preparation`, which ends with `penstock up` when that has started it."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence

from penstock.lifeline import end_process_group, watch_lifeline
from penstock.preparation.__main__ import main as prepare

CLEANUP_S = 2.0
"""Time to end what it has started, after its owner is gone."""


def main(argv: Sequence[str] | None = None) -> int:
    """Passes its arguments on, but for the lifeline. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="build", allow_abbrev=False)
    parser.add_argument("--lifeline-fd", type=int, help="read end of a pipe: the process ends when the pipe does")
    options, rest = parser.parse_known_args(argv)
    if options.lifeline_fd is not None:
        watch_lifeline(options.lifeline_fd, _end)
    return prepare(rest)


def _end() -> None:
    # The main thread ends its installer, which has a session of its own.
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(CLEANUP_S)
    end_process_group()


if __name__ == "__main__":
    sys.exit(main())
