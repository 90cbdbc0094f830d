"""Finds the GPUs of this machine."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import structlog

from penstock_controller.actuators.gpus import parse_devices, parse_nvidia_smi

GPUS_VARIABLE = "PENSTOCK_GPUS"
"""Names the devices to use, as CUDA_VISIBLE_DEVICES does; "none" or empty for none."""

CUDA_VARIABLE = "CUDA_VISIBLE_DEVICES"

NVIDIA_SMI_S = 5.0
"""Time for nvidia-smi to answer; it hangs when the driver does."""

DRIVER_FOLDER = Path("/proc/driver/nvidia/gpus")
"""Has one folder per GPU while the driver is loaded."""

log = structlog.get_logger("controller")


def detect_gpus(environ: Mapping[str, str], driver_folder: Path = DRIVER_FOLDER) -> tuple[str, ...]:
    """Returns the devices that replicas may use. Blocks for at most NVIDIA_SMI_S.

    What the environment says goes first: $PENSTOCK_GPUS, then $CUDA_VISIBLE_DEVICES of this process. Then what
    nvidia-smi lists: in a container only those that can be used there, and the parts of divided ones. Without it, as
    many as the driver shows.
    """
    for variable in (GPUS_VARIABLE, CUDA_VARIABLE):
        if variable in environ:
            return parse_devices(environ[variable])
    command = shutil.which("nvidia-smi", path=environ.get("PATH"))
    if command is not None and (found := _ask(command)) is not None:
        return found
    try:
        count = sum(1 for _ in driver_folder.iterdir())
    except OSError:
        count = 0
    return tuple(str(index) for index in range(count))


def _ask(command: str) -> tuple[str, ...] | None:
    try:
        done = subprocess.run(
            [command, "-L"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=NVIDIA_SMI_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as exc:
        log.warning("nvidia_smi_failed", command=command, error=str(exc))
        return None
    return parse_nvidia_smi(done.stdout.decode("utf-8", "replace"))
