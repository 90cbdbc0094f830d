"""Compiles and runs the load generators, `ws_load` and `http_load`."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from penstock_bench.samples import LoadError, Sample, parse_sample
from penstock_bench.scenarios import Scenario
from penstock_bench.targets import Endpoint

SOURCES = Path(__file__).resolve().parent.parent
FILES = {
    "ws_load": ("ws_load.c", "ws_client.c", "ws_echo.c", "watched.c", "proc_usage.c"),
    "http_load": ("http_load.c", "watched.c", "proc_usage.c"),
}


def compile_generator(build: Path, name: str = "ws_load") -> Path:
    """Builds a generator when a source is newer; raises LoadError with the compiler's words when that fails."""
    program = build / name
    newest = max(path.stat().st_mtime for path in SOURCES.glob("*.[ch]"))
    if program.exists() and program.stat().st_mtime > newest:
        return program
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise LoadError("no C compiler: install gcc or clang, the load generator is written in C to stay light")
    build.mkdir(parents=True, exist_ok=True)
    command = [compiler, "-O2", "-Wall", "-Wextra", "-o", str(program), *(str(SOURCES / file) for file in FILES[name])]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    if built.returncode:
        raise LoadError(f"compiling {name} failed:\n{built.stderr}")
    return program


def measure(
    program: Path,
    scenario: Scenario,
    endpoint: Endpoint,
    processes: Sequence[tuple[str, int]],
    *,
    seconds: float,
    warm_s: float,
) -> Sample:
    """One round. Raises LoadError when the target did not hold the load."""
    command = [str(program), scenario.mode, "-port", str(endpoint.port), "-path", endpoint.path]
    for group in scenario.groups:
        command += ["-group", group.option()]
    if processes:
        command += ["-pids", ",".join(f"{name}:{pid}" for name, pid in processes)]
    hold_s = 1.0 if scenario.mode == "idle" else seconds
    command += ["-d", str(hold_s), "-w", str(warm_s), "-n", str(scenario.cycles), "-timeout", "60"]
    return run_generator(command, timeout_s=90 + seconds + warm_s)


def run_generator(command: Sequence[str], *, timeout_s: float) -> Sample:
    """Raises LoadError when the generator failed, did not end in time, or counted an error."""
    name = Path(command[0]).name
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise LoadError(f"{name} did not end within {error.timeout:g} s") from error
    if not ran.stdout.strip():
        raise LoadError(f"{name} ended with status {ran.returncode}: {ran.stderr.strip()[:400]}")
    try:
        sample = parse_sample(ran.stdout.strip().splitlines()[-1])
    except LoadError as error:
        raise LoadError(f"{error} {ran.stderr.strip()[:400]}") from error
    if sample.errors:
        raise LoadError(f"{sample.errors} errors: {ran.stderr.strip()[:400]}")
    return sample
