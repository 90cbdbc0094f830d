"""What the two simulating processes have in common: how they are told what to do, and how they answer.

The job is JSON on the command line. "ready" on standard output says that all calls are open; at the end of standard
input the process writes what it has noted to the file that the job names, and ends.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CONNECTION_OPTIONS = [
    # Otherwise all channels of a process to one address share one connection.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
]

LAG_INTERVAL_S = 0.05


def read_job() -> Any:
    return json.loads(sys.argv[1])


def say_ready() -> None:
    # Looking for garbage among thousands of calls would stop all of them for half a second.
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 1000)
    print("ready", flush=True)


def write_notes(job: Mapping[str, Any], notes: Mapping[str, Any]) -> None:
    Path(str(job["notes"])).write_text(json.dumps(notes))


async def wait_for_end() -> None:
    """Returns at the end of standard input."""
    ended = asyncio.Event()

    def look() -> None:
        if not os.read(sys.stdin.fileno(), 4096):
            loop.remove_reader(sys.stdin.fileno())
            ended.set()

    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin.fileno(), look)
    await ended.wait()


async def note_lag(lags: list[tuple[float, float]]) -> None:
    """Notes how late the loop of this process is; late means that the simulation itself is at its limit."""
    while True:
        due = time.monotonic() + LAG_INTERVAL_S
        await asyncio.sleep(LAG_INTERVAL_S)
        now = time.monotonic()
        lags.append((now, now - due))
