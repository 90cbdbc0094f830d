"""What a replica needs of its machine: `resources` in config.yaml (truss.md section 3)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from penstock.truss.document import describe
from penstock.truss.section import Section

GPUS_MAX = 1024
"""More GPUs than any machine has."""
CPU_MAX = 10_000.0
"""More cores than any machine has."""
MEMORY_MAX_BYTES = 2**60
CPU_DEFAULT = "1"
MEMORY_DEFAULT = "2Gi"

_UNITS = {unit: 1000**power for power, unit in enumerate(("", "k", "M", "G", "T", "P", "E"))}
_UNITS |= {f"{unit}i": 1024**power for power, unit in enumerate(("", "K", "M", "G", "T", "P", "E")) if unit}


@dataclass(frozen=True, slots=True)
class Resources:
    """The section `resources`, with defaults filled in."""

    cpu: float = 1.0
    """Cores; `500m` is 0.5."""
    memory_bytes: int = 2 * 1024**3
    accelerator: str | None = None
    """Type of the GPUs, such as H100; None when none is named. A machine of one's own has the GPUs that it has."""
    gpus: int = 0
    """GPUs that one replica needs for itself, 0 to 1024."""
    instance_type: str | None = None
    node_count: int = 1


def read_resources(section: Section) -> Resources:
    """Reads the section `resources`.

    The GPUs are those of `accelerator` (TYPE or TYPE:COUNT), else 1 for `use_gpu`.
    """
    accelerator, gpus = _gpus(section)
    resources = Resources(
        cpu=_cpu(section),
        memory_bytes=_memory(section),
        accelerator=accelerator,
        gpus=gpus,
        instance_type=section.optional_text("instance_type"),
        node_count=section.integer("node_count", 1, low=1, high=1024),
    )
    if resources.node_count > 1:
        section.warn("node_count", "not used: a replica runs on one machine")
    return resources


def _gpus(section: Section) -> tuple[str | None, int]:
    uses_gpu = section.boolean("use_gpu", False)
    accelerator = section.optional_text("accelerator")
    if accelerator is None:
        return None, int(uses_gpu)
    found = re.fullmatch(r"([A-Za-z0-9_-]+)(?::([0-9]{1,9}))?", accelerator.strip())
    count = 0 if found is None else int(found[2] or 1)
    if found is None or not 1 <= count <= GPUS_MAX:
        section.refuse(
            "accelerator",
            f"must be TYPE or TYPE:COUNT such as L4 or H100:2, with a count from 1 to {GPUS_MAX}, got {accelerator!r}",
        )
        return None, 1
    return found[1], count


def _cpu(section: Section) -> float:
    written = _quantity(section, "cpu", CPU_DEFAULT)
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{0,9})?|\.[0-9]{1,9})(m?)", written)
    cores = 0.0 if found is None else float(found[1]) / (1000 if found[2] else 1)
    if not 0 < cores <= CPU_MAX:
        allowed = f"a number of cores up to {CPU_MAX:g}, or of thousandths such as 500m"
        section.refuse("cpu", f"must be {allowed}, got {describe(section.peek('cpu'))}")
        return 1.0
    return cores


def _memory(section: Section) -> int:
    written = _quantity(section, "memory", MEMORY_DEFAULT)
    found = re.fullmatch(r"([0-9]{1,19}(?:\.[0-9]{0,9})?|\.[0-9]{1,9})([A-Za-z]{0,2})", written)
    size = 0 if found is None or found[2] not in _UNITS else int(float(found[1]) * _UNITS[found[2]])
    if not 0 < size <= MEMORY_MAX_BYTES:
        allowed = f"a number of bytes up to 1Ei, with or without a unit ({', '.join(unit for unit in _UNITS if unit)})"
        section.refuse("memory", f"must be {allowed}, got {describe(section.peek('memory'))}")
        return 2 * 1024**3
    return size


def _quantity(section: Section, key: str, default: str) -> str:
    value = section.value(key)
    if value is None:
        return default
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return describe(value).removeprefix("number ")
    return value.strip() if isinstance(value, str) else ""
