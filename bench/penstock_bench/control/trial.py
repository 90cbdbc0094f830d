"""One fleet against one real `controller serve`: starts the processes, waits, measures, ends them."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.state_dir import read_controller_file
from penstock_bench.control import process_meter
from penstock_bench.control.delays import percentile, snapshot_delays
from penstock_bench.control.fleet import Fleet
from penstock_bench.control.state_folder import write_state
from penstock_bench.processes import Child, StartError

BENCH = Path(__file__).resolve().parents[2]
CONTROLLER_COMMAND = (sys.executable, "-P", "-m", "penstock_controller")

ATTACH_S_MAX = 90.0
"""Time for a whole fleet to attach."""

SETTLE_S = 3.0
"""Time for what was sent last to arrive, after the measurement."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What was measured with one fleet."""

    attach_s: float
    """From the first runner's process to the edge that was the last to know the whole fleet."""
    cpu_percent: float
    """Of one core, the controller."""
    resident_mib: float
    threads: int
    statuses_per_s: float
    snapshots_per_s: float
    """Per edge."""
    snapshot_bytes: float
    sent_mib_per_s: float
    delay_p50_ms: float | None
    delay_p99_ms: float | None
    delays: int
    delays_lost: int
    runners_cpu_percent: float
    edges_cpu_percent: float
    generator_lag_p99_ms: float | None
    """Lateness of the loop of the worse of the two simulating processes."""
    others_cpu_percent: float
    """What the rest of the machine did meanwhile."""


class _Side:
    """One simulating process."""

    def __init__(self, module: str, job: dict[str, Any], folder: Path) -> None:
        self._notes = folder / f"{module}.json"
        self._log = folder / f"{module}.log"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    f"penstock_bench.control.{module}",
                    json.dumps({**job, "notes": str(self._notes)}),
                ],
                env={**os.environ, "PYTHONPATH": str(BENCH)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_ready(self, deadline: float) -> None:
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise StartError(f"the fleet was not up within {ATTACH_S_MAX:g} s")
        if self._process.stdout.readline() != "ready\n":
            raise StartError(f"a simulating process has ended:\n{self._log.read_text()[-2000:]}")

    def finish(self) -> Any:
        """Ends it, and returns what it has noted."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)
        notes = json.loads(self._notes.read_text())
        if notes["failures"]:
            raise StartError(f"a simulated call failed: {notes['failures'][0]}")
        return notes

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


def run_trial(fleet: Fleet, *, seconds: float, warm_s: float) -> Trial:
    """Raises StartError when a process does not come up, or does not last."""
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as name:
        folder = Path(name)
        state = folder / "state"
        write_state(state, fleet.runners)
        controller = Child(
            [*CONTROLLER_COMMAND, "serve", "--state-dir", str(state), "--listen", "127.0.0.1:0"],
            folder / "controller.log",
        )
        sides: list[_Side] = []
        try:
            controller.wait_ready(lambda: read_controller_file(state) is not None, "the controller", 20)
            found = read_controller_file(state)
            assert found is not None
            job = {
                "address": found.address,
                "runners": fleet.runners,
                "runners_per_connection": fleet.runners_per_connection,
                "edges": fleet.edges,
                "streams": fleet.streams,
                "opens_per_s": fleet.opens_per_s,
                "probes": fleet.probes,
            }
            began = time.monotonic()
            sides.append(edges := _Side("edge_side", job, folder))
            sides.append(runners := _Side("runner_side", job, folder))
            for side in (runners, edges):
                side.wait_ready(began + ATTACH_S_MAX)
            attach_s = time.monotonic() - began
            time.sleep(warm_s)
            pids = (controller.pid, runners.pid, edges.pid)
            since = time.monotonic()
            before, machine_before = [process_meter.read_meter(pid) for pid in pids], process_meter.machine_cpu_s()
            time.sleep(seconds)
            after, machine_after = [process_meter.read_meter(pid) for pid in pids], process_meter.machine_cpu_s()
            until = time.monotonic()
            time.sleep(SETTLE_S)
            runner_notes, edge_notes = runners.finish(), edges.finish()
        finally:
            for side in sides:
                side.kill()
            controller.stop()
    elapsed = until - since
    used = [100 * (b.cpu_s - a.cpu_s) / elapsed for a, b in zip(before, after, strict=True)]
    received = [size for at, _, size in edge_notes["received"] if since <= at <= until]
    delays, lost = snapshot_delays(runner_notes["sent"], edge_notes["seen"], fleet.edges, since, until)
    lags = [
        percentile(sorted(lag for at, lag in notes["lags"] if since <= at <= until), 0.99) or 0.0
        for notes in (runner_notes, edge_notes)
    ]
    return Trial(
        attach_s=attach_s,
        cpu_percent=used[0],
        resident_mib=after[0].resident_mib,
        threads=after[0].threads,
        statuses_per_s=_rate(runner_notes["statuses"], since, until),
        snapshots_per_s=len(received) / fleet.edges / elapsed,
        snapshot_bytes=sum(received) / max(1, len(received)),
        sent_mib_per_s=sum(received) / elapsed / 2**20,
        delay_p50_ms=_ms(percentile(delays, 0.5)),
        delay_p99_ms=_ms(percentile(delays, 0.99)),
        delays=len(delays),
        delays_lost=lost,
        runners_cpu_percent=used[1],
        edges_cpu_percent=used[2],
        generator_lag_p99_ms=_ms(max(lags)),
        others_cpu_percent=max(0.0, 100 * (machine_after - machine_before) / elapsed - sum(used)),
    )


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000


def _rate(samples: list[tuple[float, int]], since: float, until: float) -> float:
    inside = [(at, count) for at, count in samples if since <= at <= until]
    if len(inside) < 2:
        return 0.0
    (first_at, first), (last_at, last) = inside[0], inside[-1]
    return (last - first) / (last_at - first_at)
