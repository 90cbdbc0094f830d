"""Measures rows of `predict` against both servers, and makes the section of them."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from penstock_bench.generator import compile_generator
from penstock_bench.machine import machine_facts
from penstock_bench.predict.rows import Row
from penstock_bench.predict.tables import section
from penstock_bench.predict.trial import measure_row
from penstock_bench.processes import StartError
from penstock_bench.samples import LoadError, Sample
from penstock_bench.targets import Direct, Endpoint, Penstock, Target

BENCH = Path(__file__).resolve().parents[2]
PACKAGES = ("penstock", "uvicorn", "httptools", "uvloop", "fastapi", "starlette", "grpcio", "protobuf")
TITLES = {
    "direct": "FastAPI on uvicorn (httptools, uvloop), one worker, no hop: what a Truss server is",
    "penstock": "edge, trunk, runner",
}


def measure_predict(rows: Sequence[Row], *, rounds: int, seconds: float, warm_s: float) -> tuple[str, bool]:
    """Returns the section, and whether everything could be measured. Progress goes to standard error."""
    results: dict[str, dict[str, dict[int, Sample]]] = {}
    failures: list[str] = []
    load = os.getloadavg()[0]
    try:
        program = compile_generator(BENCH / ".build", "http_load")
    except LoadError as error:
        return section({}, TITLES, rows, {}, [str(error)]), False
    for model, of_model in groupby(rows, lambda row: row.model):
        with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
            _measure_model(program, model, list(of_model), Path(folder), rounds, seconds, warm_s, results, failures)
    facts = machine_facts(PACKAGES) | {
        "load average at the start": f"{load:.1f}",
        "rounds": f"{rounds}, alternating between the servers, {seconds:g} s each after {warm_s:g} s; medians",
    }
    return section(facts, TITLES, rows, results, failures), not failures


def _measure_model(
    program: Path,
    model: str,
    rows: Sequence[Row],
    folder: Path,
    rounds: int,
    seconds: float,
    warm_s: float,
    results: dict[str, dict[str, dict[int, Sample]]],
    failures: list[str],
) -> None:
    truss = BENCH / "models" / model
    targets: list[Target] = [Direct(folder, truss, "predict"), Penstock(folder, truss, [], "predict")]
    started: dict[Target, Endpoint] = {}
    try:
        for target in targets:
            print(f"predict: starting {target.name} with {model}", file=sys.stderr)
            started[target] = target.start()
            # Imports, allocator arenas and threads that the first requests pay for.
            measure_row(program, rows[0], started[target], [], seconds=0.3, warm_s=0.1)
        for row in rows:
            print(f"predict: {row.key}: {row.title}", file=sys.stderr)
            order = list(started)
            for number in range(rounds):
                for target in order:
                    try:
                        sample = measure_row(
                            program, row, started[target], target.processes(), seconds=seconds, warm_s=warm_s
                        )
                    except LoadError as error:
                        failures.append(f"{row.key}, {target.name}, round {number + 1}: {error}")
                        print(f"  {failures[-1]}", file=sys.stderr)
                        continue
                    results.setdefault(row.key, {}).setdefault(target.name, {})[number] = sample
                order.reverse()
    except (StartError, LoadError) as error:
        failures.append(f"{model}: {str(error).splitlines()[0][:200]}")
        print(f"predict: {model}: {error}", file=sys.stderr)
    finally:
        for target in targets:
            target.stop()
