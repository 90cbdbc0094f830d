from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_controller.actuators.base import NoFreeGpuError, StartError
from penstock_controller.actuators.gpus import Gpus, parse_devices, parse_nvidia_smi

DIVIDED = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-aaaa)
  MIG 3g.20gb     Device  0: (UUID: MIG-1111)
  MIG 3g.20gb     Device  1: (UUID: MIG-2222)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-bbbb)
"""


@pytest.mark.parametrize(
    ("text", "devices"),
    [
        ("0,1,2", ("0", "1", "2")),
        (" 2 , 0 ", ("2", "0")),
        ("GPU-8f2e,MIG-1", ("GPU-8f2e", "MIG-1")),
        ("0,0,1", ("0", "1")),
        ("0,-1,1", ("0",)),
        ("-1", ()),
        ("none", ()),
        ("NONE", ()),
        ("", ()),
    ],
)
def test_lists_are_read_as_cuda_reads_them(text: str, devices: tuple[str, ...]) -> None:
    assert parse_devices(text) == devices


def test_divided_gpus_are_given_out_by_their_parts() -> None:
    assert parse_nvidia_smi(DIVIDED) == ("MIG-1111", "MIG-2222", "1")
    assert parse_nvidia_smi("No devices found.\n") == ()


def test_every_replica_has_gpus_of_its_own() -> None:
    gpus = Gpus(["0", "1", "2", "3"])

    assert gpus.take("a", 1) == "0"
    assert gpus.take("b", 2) == "1,2"
    gpus.release("a")
    assert gpus.take("c", 2) == "0,3"
    assert gpus.held_by("c") == "0,3"
    assert gpus.held_by("a") == ""


def test_replica_waits_when_all_are_in_use_and_is_told_by_whom() -> None:
    gpus = Gpus(["0", "1"])
    gpus.take("echo-1-bbbbb", 1)
    gpus.take("echo-1-aaaaa", 1)

    with pytest.raises(NoFreeGpuError, match=r"^no free GPU: 2 of 2 are in use by echo-1-aaaaa, echo-1-bbbbb$"):
        gpus.take("echo-1-ccccc", 1)


def test_replica_waits_when_too_few_are_free() -> None:
    gpus = Gpus(map(str, range(9)))
    for name in "abcdefgh":
        gpus.take(name, 1)

    with pytest.raises(NoFreeGpuError, match=r"2 are needed, 8 of 9 are in use by a, b, c, d, e and 3 more$"):
        gpus.take("z", 2)
    assert gpus.take("y", 1) == "8"


def test_more_than_the_machine_has_is_no_reason_to_wait() -> None:
    with pytest.raises(StartError, match="asks for 4 GPUs and this machine has 2") as caught:
        Gpus(["0", "1"]).take("a", 4)

    assert not isinstance(caught.value, NoFreeGpuError)


def test_machine_without_a_gpu_gives_none_and_does_not_refuse() -> None:
    assert Gpus([]).take("a", 2) == ""


def test_model_that_asks_for_none_gets_none() -> None:
    assert Gpus(["0"]).take("a", 0) == ""


def test_what_an_earlier_life_gave_is_in_use() -> None:
    gpus = Gpus(["0", "1"])
    gpus.restore("a", "0")
    gpus.restore("other", "7")
    gpus.restore("without", "")

    assert gpus.take("b", 1) == "1"
    with pytest.raises(NoFreeGpuError, match=r"2 of 2 are in use by a, b$"):
        gpus.take("c", 1)


@given(
    st.integers(0, 5),
    st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(["take", "release"]), st.integers(0, 3))),
)
def test_no_device_is_ever_held_twice(count: int, steps: list[tuple[str, str, int]]) -> None:
    gpus = Gpus(map(str, range(count)))
    held: dict[str, set[str]] = {}
    for replica_id, step, wanted in steps:
        if step == "release":
            gpus.release(replica_id)
            held.pop(replica_id, None)
        elif replica_id not in held:
            free = count - sum(map(len, held.values()))
            try:
                held[replica_id] = set(parse_devices(gpus.take(replica_id, wanted)))
                assert len(held[replica_id]) == (wanted if count else 0)
            except NoFreeGpuError:
                assert free < wanted <= count
            except StartError:
                assert wanted > count
    devices = [device for mine in held.values() for device in mine]
    assert len(devices) == len(set(devices)) <= count
