"""The environment in which Penstock starts its own processes."""

from __future__ import annotations

from collections.abc import Mapping

_DEFAULTS = {
    # Message buffers between 128 KiB and the thresholds below would each be an mmap and munmap with glibc's defaults;
    # a 1 MiB batch then costs 256 page faults, both ways.
    "MALLOC_MMAP_THRESHOLD_": str(128 * 1024 * 1024),
    "MALLOC_TRIM_THRESHOLD_": str(256 * 1024 * 1024),
    "MALLOC_TOP_PAD_": str(16 * 1024 * 1024),
    # The user's model directory must not shadow our own imports, nor those of our dependencies.
    "PYTHONSAFEPATH": "1",
    # Output goes to a file; a model's prints are to be seen when they happen, and not lost when it is killed.
    "PYTHONUNBUFFERED": "1",
}

_GRPC_EXPERIMENTS = "-event_engine_client,-event_engine_listener"
"""gRPC's older poller: less CPU per message for few long calls with much traffic."""

GRPC_EXPERIMENTS_SWITCH = "PENSTOCK_GRPC_EXPERIMENTS"
"""Set to "off" to leave gRPC's experiments as gRPC has them."""


def child_environment(base: Mapping[str, str]) -> dict[str, str]:
    """Returns `base` with what Penstock's processes need; what `base` already sets is kept."""
    env = {**_DEFAULTS, **base}
    if base.get(GRPC_EXPERIMENTS_SWITCH, "").lower() != "off":
        env.setdefault("GRPC_EXPERIMENTS", _GRPC_EXPERIMENTS)
    return env


RUN_DIR_VARIABLE = "PENSTOCK_RUN_DIR"
"""The run folder of the controller that started a replica; its replicas and all that they start carry it."""
REPLICA_VARIABLE = "PENSTOCK_REPLICA_ID"
DEPLOYMENT_VARIABLE = "PENSTOCK_DEPLOYMENT_ID"
REPLICA_GPUS_VARIABLE = "PENSTOCK_REPLICA_GPUS"
"""The GPUs that were assigned to a replica; empty when none was."""
CUDA_VARIABLE = "CUDA_VISIBLE_DEVICES"


def is_platform_variable(name: str) -> bool:
    """Tells whether a variable of a replica is set by Penstock alone, whatever config.yaml says."""
    return name.startswith("PENSTOCK_") or name == "PYTHONSAFEPATH"


def model_variables(variables: Mapping[str, str], *, gpus_assigned: bool) -> dict[str, str]:
    """Returns those `environment_variables` of config.yaml that take effect in a replica.

    CUDA_VISIBLE_DEVICES belongs to Penstock where it assigns GPUs.
    """
    return {
        name: value
        for name, value in variables.items()
        if not is_platform_variable(name) and not (gpus_assigned and name == CUDA_VARIABLE)
    }
