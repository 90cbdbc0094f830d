"""What a result has to say of the machine and the software it was measured with."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import resource
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def machine_facts(packages: Sequence[str]) -> dict[str, str]:
    """Date, revision, machine and the versions of `packages`."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    processor = next((line.partition(":")[2].strip() for line in lines if "model name" in line), platform.machine())
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    cores = len(os.sched_getaffinity(0))
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "revision": described.stdout.strip() or "none yet",
        "machine": f"{cores} cores ({processor}), Linux {platform.release()}; loopback, and the load generator is one "
        "more process on the same cores",
        "versions": ", ".join([f"Python {platform.python_version()}", *map(_version, packages)]),
    }


def raise_descriptor_limit() -> None:
    """2,000 streams are 4,000 descriptors in a proxy; the children inherit the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _version(name: str) -> str:
    try:
        return f"{name} {importlib.metadata.version(name)}"
    except importlib.metadata.PackageNotFoundError:
        return f"{name} –"
