"""`resources` of config.yaml (truss.md section 3)."""

from __future__ import annotations

import pytest

from penstock.truss import ConfigError, parse_config


def gpus(resources: str) -> int:
    return parse_config(f"resources: {resources}\n".encode(), name_default="m").gpus


@pytest.mark.parametrize(
    ("resources", "count"),
    [
        ("null", 0),
        ("{cpu: '1', memory: 2Gi}", 0),
        ("{accelerator: null}", 0),
        ("{accelerator: ''}", 0),
        ("{use_gpu: false}", 0),
        ("{use_gpu: true}", 1),
        ("{accelerator: '', use_gpu: true}", 1),
        ("{accelerator: L4}", 1),
        ("{accelerator: L4, use_gpu: false}", 1),
        ("{accelerator: A100_40GB:2, use_gpu: true}", 2),
        ("{accelerator: H100:8}", 8),
        ("{accelerator: RTX-6000:1}", 1),
    ],
)
def test_gpus_are_counted(resources: str, count: int) -> None:
    assert gpus(resources) == count


@pytest.mark.parametrize("accelerator", ["H100:0", "H100:x", "H100:2:2", "H100:99999", "':2'", "'two H100'", "H100:-1"])
def test_accelerator_that_cannot_be_read_is_refused_with_its_place(accelerator: str) -> None:
    with pytest.raises(ConfigError, match=r"config.yaml:1:\d+.*resources.accelerator.*TYPE or TYPE:COUNT such as L4"):
        gpus(f"{{accelerator: {accelerator}}}")


def test_variables_that_belong_to_penstock_are_warned_of() -> None:
    content = """\
resources: {accelerator: L4}
environment_variables: {PENSTOCK_RUN_DIR: x, PYTHONSAFEPATH: "", CUDA_VISIBLE_DEVICES: "1", LD_PRELOAD: libx.so}
"""
    warnings = parse_config(content.encode(), name_default="m").warnings

    assert [warning.key for warning in warnings] == [
        f"environment_variables.{name}" for name in ("PENSTOCK_RUN_DIR", "PYTHONSAFEPATH", "CUDA_VISIBLE_DEVICES")
    ]


def test_model_without_an_accelerator_may_choose_its_gpus() -> None:
    content = b'environment_variables: {CUDA_VISIBLE_DEVICES: "1"}\n'

    assert parse_config(content, name_default="m").warnings == ()
