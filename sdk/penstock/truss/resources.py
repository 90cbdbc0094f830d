"""What a replica needs of its machine: `resources` in config.yaml (truss.md section 3)."""

from __future__ import annotations

import re

from penstock.truss.section import Section

GPUS_MAX = 1024
"""More GPUs than any machine has."""


def read_gpus(resources: Section) -> int:
    """Returns how many GPUs one replica needs: those of `accelerator` (TYPE or TYPE:COUNT), else 1 for `use_gpu`.

    The type is not looked at: a machine of one's own has the GPUs that it has.
    """
    uses_gpu = resources.boolean("use_gpu", False)
    if resources.peek("accelerator") == "":
        return int(uses_gpu)
    accelerator = resources.text("accelerator", "")
    if not accelerator:
        return int(uses_gpu)
    found = re.fullmatch(r"[A-Za-z0-9_-]+(?::([0-9]{1,9}))?", accelerator.strip())
    count = 0 if found is None else int(found[1] or 1)
    if not 1 <= count <= GPUS_MAX:
        resources.refuse("accelerator", f"must be TYPE or TYPE:COUNT such as L4 or H100:2, got {accelerator!r}")
        return 1
    return count
