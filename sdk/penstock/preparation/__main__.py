"""Entry point: `python -P -m penstock.preparation --model-dir DIR --cache-dir DIR --result FILE`."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from penstock.lifeline import end_process, watch_lifeline
from penstock.preparation.deployment import mark_used, prepare
from penstock.preparation.errors import PreparationError
from penstock.state_dir import write_atomically
from penstock.truss import ConfigError, load_config

CLEANUP_GRACE_S = 10.0
"""Time to end what is running and to remove what is half built, once the starter of this process is gone."""


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 0, or 1 when the deployment cannot be prepared; then the reason is in the last lines and in FILE."""
    parser = argparse.ArgumentParser(prog="python -m penstock.preparation", description="Prepares a deployment.")
    parser.add_argument("--model-dir", type=Path, required=True, help="the Truss directory")
    parser.add_argument("--cache-dir", type=Path, required=True, help="where environments and weights are kept")
    parser.add_argument(
        "--result",
        type=Path,
        required=True,
        help="file for the result (JSON); while it is there, its environment is not removed from the cache",
    )
    parser.add_argument("--lifeline-fd", type=int, help="pipe whose end tells that the starter of this process is gone")
    options = parser.parse_args(argv)
    # An exception, so that what is running is ended, too.
    signal.signal(signal.SIGTERM, _end)
    if options.lifeline_fd is not None:
        try:
            watch_lifeline(options.lifeline_fd, _end_orphaned)
        except ValueError as exc:
            parser.error(str(exc))
    try:
        result = _prepare(options.model_dir, options.cache_dir, options.result)
    except (PreparationError, ConfigError) as exc:
        return _fail(options.result, str(exc))
    except Exception as exc:
        # Of fetching weights, or of a disk that is full: the reason must reach the user in any case.
        is_ours = type(exc).__module__.startswith("penstock.") and str(exc)
        return _fail(options.result, str(exc) if is_ours else f"{type(exc).__name__}: {exc}")
    write_atomically(options.result, json.dumps(result) + "\n")
    return 0


def _prepare(model_dir: Path, cache_dir: Path, result_file: Path) -> dict[str, Any]:
    prepared = prepare(load_config(model_dir), model_dir.absolute(), cache_dir, _report)
    mark_used(prepared, cache_dir, result_file)
    return {"python": prepared.python, "problems": list(prepared.problems)}


def _fail(result_file: Path, text: str) -> int:
    _report(text)
    write_atomically(result_file, json.dumps({"error": text}) + "\n")
    return 1


def _report(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _end_orphaned() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(CLEANUP_GRACE_S)
    end_process()


def _end(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
