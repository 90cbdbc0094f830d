"""One row against one server, with `http_load`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from penstock_bench.generator import run_generator
from penstock_bench.predict.rows import Row
from penstock_bench.samples import Sample
from penstock_bench.targets import Endpoint


def measure_row(
    program: Path,
    row: Row,
    endpoint: Endpoint,
    processes: Sequence[tuple[str, int]],
    *,
    seconds: float,
    warm_s: float,
) -> Sample:
    """One round. Raises LoadError when the server did not hold the load, or gave a wrong answer."""
    command = [str(program), "-port", str(endpoint.port), "-path", endpoint.path, "-c", str(row.conns)]
    command += ["-s", str(row.size), "-r", f"{row.rate:g}", "-expect", str(row.answer_bytes)]
    if processes:
        command += ["-pids", ",".join(f"{name}:{pid}" for name, pid in processes)]
    command += ["-d", str(seconds), "-w", str(warm_s), "-timeout", str(30 + seconds + warm_s)]
    return run_generator(command, timeout_s=60 + seconds + warm_s)
