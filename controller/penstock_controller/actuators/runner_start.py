"""The command line and the environment of a runner. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath

from penstock.process_env import (
    CUDA_VARIABLE,
    DEPLOYMENT_VARIABLE,
    REPLICA_GPUS_VARIABLE,
    REPLICA_VARIABLE,
    RUN_DIR_VARIABLE,
    model_variables,
)
from penstock_controller.actuators.base import ReplicaSpec

RUNNER_MODULE = ("-P", "-m", "penstock_runner")
"""What an interpreter runs as a runner. -P: the model's folder must not shadow our own imports."""


def runner_command(
    program: Sequence[str], spec: ReplicaSpec, *, controller_address: str, run_dir: PurePath, lifeline_fd: int | None
) -> list[str]:
    command = [
        *((spec.python, *RUNNER_MODULE) if spec.python else program),
        *("--model-dir", spec.source),
        *("--replica-id", spec.replica_id),
        *("--deployment-id", spec.deployment_id),
        *("--deployment-name", spec.deployment_name),
        *("--controller", controller_address),
        *("--run-file", str(run_dir / f"{spec.replica_id}.json")),
    ]
    if spec.environment:
        command += ["--environment", spec.environment]
    if lifeline_fd is not None:
        command += ["--lifeline-fd", str(lifeline_fd)]
    return command


def runner_environment(base: Mapping[str, str], spec: ReplicaSpec, *, run_dir: PurePath, gpus: str) -> dict[str, str]:
    """Returns `base` with the model's variables in it, and with ours over both.

    The model's must be there before the process starts: LD_PRELOAD, PYTHONPATH or OMP_NUM_THREADS are read once, at its
    beginning.

    Args:
        gpus: what was assigned; when empty, CUDA_VISIBLE_DEVICES stays as it is.
    """
    env = {**base, **model_variables(spec.environment_variables, gpus_assigned=bool(gpus))}
    if spec.python:
        # As an activated environment has it: programs that requirements have brought are found.
        folder = PurePath(spec.python).parent
        env["PATH"] = f"{folder}:{env.get('PATH') or '/usr/local/bin:/usr/bin:/bin'}"
        env["VIRTUAL_ENV"] = str(folder.parent)
    env[RUN_DIR_VARIABLE] = str(run_dir)
    env[REPLICA_VARIABLE] = spec.replica_id
    env[DEPLOYMENT_VARIABLE] = spec.deployment_id
    env[REPLICA_GPUS_VARIABLE] = gpus
    if gpus:
        env[CUDA_VARIABLE] = gpus
    return env
