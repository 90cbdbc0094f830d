from __future__ import annotations

from pathlib import Path

import pytest

from penstock_controller.actuators import gpu_detection
from penstock_controller.actuators.gpu_detection import detect_gpus


@pytest.fixture
def driver(tmp_path: Path) -> Path:
    """What the driver of a machine with two GPUs shows."""
    folder = tmp_path / "gpus"
    for name in ("0000:01:00.0", "0000:02:00.0"):
        (folder / name).mkdir(parents=True)
    return folder


def nvidia_smi(folder: Path, script: str) -> dict[str, str]:
    """Returns an environment in which `script` is nvidia-smi."""
    (folder / "bin").mkdir()
    program = folder / "bin" / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return {"PATH": str(folder / "bin")}


@pytest.mark.parametrize(
    ("environ", "devices"),
    [
        ({"PENSTOCK_GPUS": "3,4", "CUDA_VISIBLE_DEVICES": "0"}, ("3", "4")),
        ({"PENSTOCK_GPUS": "none"}, ()),
        ({"PENSTOCK_GPUS": ""}, ()),
        ({"CUDA_VISIBLE_DEVICES": "1,GPU-8f2e"}, ("1", "GPU-8f2e")),
        ({"CUDA_VISIBLE_DEVICES": ""}, ()),
    ],
)
def test_the_environment_goes_first(environ: dict[str, str], devices: tuple[str, ...], driver: Path) -> None:
    assert detect_gpus({"PATH": "", **environ}, driver) == devices


def test_nvidia_smi_says_what_can_be_used_here(driver: Path, tmp_path: Path) -> None:
    environ = nvidia_smi(tmp_path, 'test "$1" = -L && echo "GPU 0: NVIDIA L4 (UUID: GPU-1)"')

    assert detect_gpus(environ, driver) == ("0",)


def test_without_nvidia_smi_the_driver_is_counted(driver: Path, tmp_path: Path) -> None:
    assert detect_gpus({"PATH": ""}, driver) == ("0", "1")
    assert detect_gpus({"PATH": ""}, tmp_path / "no driver") == ()


@pytest.mark.parametrize("script", ["exit 9", "exec sleep 1000"])
def test_nvidia_smi_that_fails_or_hangs_holds_nothing_up(
    script: str, driver: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_detection, "NVIDIA_SMI_S", 0.3)
    environ = nvidia_smi(tmp_path, script.replace("sleep", "/bin/sleep"))

    assert detect_gpus(environ, driver) == ("0", "1")
