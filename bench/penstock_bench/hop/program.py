"""Measures the rows of a hop against all that it is compared with, and makes the section of them."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from penstock_bench.hop.rows import Row
from penstock_bench.hop.tables import TITLES, section
from penstock_bench.hop.targets import Chain, HopTarget, Httpx
from penstock_bench.machine import machine_facts
from penstock_bench.processes import StartError
from penstock_bench.samples import LoadError, Sample

PACKAGES = ("penstock", "httpx", "fastapi", "uvicorn", "pydantic", "numpy", "grpcio", "protobuf")
_TICKS = os.sysconf("SC_CLK_TCK")


def measure_hop(rows: Sequence[Row], *, rounds: int, seconds: float, warm_s: float) -> tuple[str, bool]:
    """Returns the section, and whether everything could be measured. Progress goes to standard error."""
    results: dict[str, dict[str, dict[int, Sample]]] = {}
    failures: list[str] = []
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        names = [name for name in TITLES if any(name in row.baselines for row in rows)]
        targets: list[HopTarget] = [*(Httpx(Path(folder), name) for name in names), Chain(Path(folder))]
        try:
            for target in targets:
                print(f"hop: starting {target.name}", file=sys.stderr)
                target.start()
            for row in rows:
                print(f"hop: {row.key}: {row.title}", file=sys.stderr)
                chosen = [target for target in targets if target.name in ("penstock", *row.baselines)]
                for number in range(rounds):
                    for target in chosen:
                        try:
                            sample = _sample(target, row, seconds, warm_s)
                        except LoadError as error:
                            failures.append(f"{row.key}, {target.name}, round {number + 1}: {error}")
                            print(f"  {failures[-1]}", file=sys.stderr)
                            continue
                        results.setdefault(row.key, {}).setdefault(target.name, {})[number] = sample
                    chosen.reverse()
        except StartError as error:
            failures.append(str(error).splitlines()[0][:200])
            print(f"hop: {error}", file=sys.stderr)
        finally:
            for target in targets:
                target.stop()
    facts = machine_facts(PACKAGES) | {
        "load average at the start": f"{load:.1f}",
        "rounds": f"{rounds}, alternating between the pairs, {seconds:g} s each after {warm_s:g} s; medians",
    }
    return section(facts, rows, results, failures), not failures


def _sample(target: HopTarget, row: Row, seconds: float, warm_s: float) -> Sample:
    processes = target.processes()
    before = {pid: _cpu_s(pid) for _, pid in processes}
    said = target.measure(row, seconds, warm_s)
    # The warm-up is in it, too: its calls are estimated by the rate.
    calls = said["per_s"] * (seconds + warm_s)
    cpu: dict[str, float] = {}
    for name, pid in processes:
        cpu[name] = cpu.get(name, 0.0) + (_cpu_s(pid) - before[pid]) / calls * 1e6
    return Sample(per_s=said["per_s"], p50_ms=said["p50_ms"], p99_ms=said["p99_ms"], cpu_us=cpu)


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
