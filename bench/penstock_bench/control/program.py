"""Measures fleets and steps one after another, and makes the section of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from penstock.logs import configure_logs
from penstock_bench.control.costs import measure_costs
from penstock_bench.control.fleet import Fleet
from penstock_bench.control.tables import section, title
from penstock_bench.control.trial import Trial, run_trial
from penstock_bench.machine import machine_facts
from penstock_bench.processes import StartError

PACKAGES = ("penstock", "grpcio", "protobuf")
REPLICAS = (100, 1000, 10_000)
"""Sizes for which single steps are measured."""


def measure_control_plane(fleets: Sequence[Fleet], *, seconds: float, warm_s: float) -> tuple[str, bool]:
    """Returns the section, and whether everything could be measured. Progress goes to standard error."""
    trials: dict[Fleet, Trial] = {}
    failures = []
    load = os.getloadavg()[0]
    for fleet in fleets:
        print(f"control plane: {title(fleet)}", file=sys.stderr)
        try:
            trials[fleet] = trial = run_trial(fleet, seconds=seconds, warm_s=warm_s)
        except StartError as error:
            failures.append(f"{title(fleet)}: {str(error).splitlines()[0][:200]}")
            print(f"control plane: {title(fleet)}: {error}", file=sys.stderr)
            continue
        if trial.delays_lost:
            failures.append(
                f"{title(fleet)}: {trial.delays_lost} of {trial.delays + trial.delays_lost} counts never seen"
            )
    print("control plane: single steps", file=sys.stderr)
    # Every replica that attaches is a line otherwise.
    configure_logs("bench", "json", "warning")
    costs = [measure_costs(replicas) for replicas in REPLICAS]
    facts = machine_facts(PACKAGES) | {
        "load average at the start": f"{load:.1f}",
        "window": f"{seconds:g} s per fleet, after {warm_s:g} s",
    }
    return section(facts, trials, costs, failures), not failures
