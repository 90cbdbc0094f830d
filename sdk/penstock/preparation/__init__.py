"""Gets a deployment ready before its replicas start: environment, build commands, weights and data.

It runs as a process of its own, `python -m penstock.preparation`; docs/environments.md tells how.
"""

from __future__ import annotations

import sys
from pathlib import Path

from penstock.preparation.build_process import Report
from penstock.preparation.deployment import Prepared, prepare
from penstock.preparation.environment import build_environment
from penstock.preparation.errors import PreparationError
from penstock.preparation.plan import needs_preparation
from penstock.truss import TrussConfig

__all__ = ["PreparationError", "Prepared", "ensure_environment", "needs_preparation", "prepare"]


def ensure_environment(config: TrussConfig, model_dir: Path, cache_dir: Path, report: Report) -> Path:
    """Returns the interpreter that has what the model needs: of a cached or new environment, or the running one.

    Build commands run, too; weights and data are not fetched.

    Raises:
        PreparationError: The environment cannot be built.
    """
    environment = build_environment(config, model_dir, cache_dir, report)
    for text in environment.problems:
        report(text)
    return environment.python or Path(sys.executable)
