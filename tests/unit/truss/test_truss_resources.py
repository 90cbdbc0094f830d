"""`resources` of config.yaml (truss.md section 3)."""

from __future__ import annotations

import pytest

from penstock.truss import ConfigError, Resources, parse_config


def read(resources: str) -> Resources:
    return parse_config(f"resources: {resources}\n".encode(), name_default="m").resources


def gpus(resources: str) -> int:
    return read(resources).gpus


def test_every_key_is_read() -> None:
    content = b"resources: {cpu: 500m, memory: 1.5Gi, accelerator: 'H100:2', instance_type: 'L4:4x16', node_count: 1}\n"

    config = parse_config(content, name_default="m")

    assert config.resources == Resources(0.5, 3 * 1024**3 // 2, "H100", 2, "L4:4x16", 1)
    assert config.gpus == 2


@pytest.mark.parametrize(
    ("written", "cores"), [("1", 1), ("'1'", 1), ("0.5", 0.5), ("'.25'", 0.25), ("500m", 0.5), ("10000", 10000)]
)
def test_cores_are_read(written: str, cores: float) -> None:
    assert read(f"{{cpu: {written}}}").cpu == cores


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("1024", 1024),
        ("'1024'", 1024),
        ("512Mi", 512 * 1024**2),
        ("2Gi", 2 * 1024**3),
        ("3Ki", 3 * 1024),
        ("5k", 5000),
        ("2M", 2_000_000),
        ("0.5T", 500_000_000_000),
        ("1Ei", 2**60),
    ],
)
def test_memory_is_read_in_bytes(written: str, size: int) -> None:
    assert read(f"{{memory: {written}}}").memory_bytes == size


@pytest.mark.parametrize("cpu", ["0", "-1", "two", "1c", "true", "[1]", "10001", "''", "1e3m", ".nan"])
def test_cores_that_cannot_be_read_are_refused(cpu: str) -> None:
    with pytest.raises(ConfigError, match=r"resources\.cpu: must be a number of cores up to 10000, or of thousandths"):
        read(f"{{cpu: {cpu}}}")


@pytest.mark.parametrize("memory", ["0", "-1Gi", "2GB", "2gi", "Gi", "true", "[1]", "2Ei", ".inf", "2 Gi"])
def test_memory_that_cannot_be_read_is_refused(memory: str) -> None:
    with pytest.raises(ConfigError, match=r"resources\.memory: must be a number of bytes up to 1Ei, .*\(k, M, .*Ei\)"):
        read(f"{{memory: {memory}}}")


def test_more_than_one_node_is_accepted_with_a_warning() -> None:
    warnings = parse_config(b"resources: {node_count: 2}", name_default="m").warnings

    assert [str(warning) for warning in warnings] == [
        "config.yaml:1:25: resources.node_count: not used: a replica runs on one machine"
    ]
    with pytest.raises(ConfigError, match="node_count: must be a whole number from 1 to 1024, got number 0"):
        read("{node_count: 0}")


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
