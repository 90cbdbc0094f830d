"""When a replica that uses much memory is warned of."""

from __future__ import annotations

from penstock.truss import parse_config
from penstock_runner.memory_watch import MemoryWatch, memory_limit

MIB = 1024 * 1024


def limit_of(config: str) -> int | None:
    return memory_limit(parse_config(config.encode(), name_default="m"))


def test_limit_is_what_config_yaml_says() -> None:
    assert limit_of("resources: {memory: 3Gi}\n") == 3 * 1024 * MIB


def test_default_of_config_yaml_is_no_limit() -> None:
    assert limit_of("") is None
    assert limit_of("resources: {cpu: '2'}\n") is None
    assert limit_of("resources: {memory: null}\n") is None


def test_memory_below_the_limit_is_no_matter() -> None:
    watch = MemoryWatch(1000 * MIB)

    assert [watch.observe(size * MIB) for size in (1, 999, 1000)] == [None] * 3
    assert watch.note == ""


def test_more_than_the_limit_is_warned_of_once() -> None:
    watch = MemoryWatch(1000 * MIB)

    text = "uses 1,001 MiB of memory, and `resources.memory` in config.yaml says 1,000 MiB"
    assert watch.observe(1001 * MIB) == text
    assert watch.note == text
    assert [watch.observe(size * MIB) for size in (1002, 990, 1001, 1101)] == [None] * 4
    assert watch.note == text


def test_a_leak_is_warned_of_again_after_each_tenth() -> None:
    watch = MemoryWatch(1000 * MIB)

    warned = [size for size in range(1000, 2001) if watch.observe(size * MIB)]

    assert warned == [1001, 1102, 1213, 1335, 1469, 1616, 1778, 1956]
    assert watch.note.startswith("uses 1,956 MiB")


def test_note_goes_and_the_warning_may_come_again_once_memory_was_given_back() -> None:
    watch = MemoryWatch(1000 * MIB)
    watch.observe(1500 * MIB)

    assert watch.observe(949 * MIB) is None
    assert watch.note == ""
    assert watch.observe(1001 * MIB) is not None


def test_without_a_limit_or_a_measurement_nothing_is_said() -> None:
    assert MemoryWatch(None).observe(10**15) is None
    watch = MemoryWatch(1000)
    watch.observe(2000)
    assert watch.observe(0) is None
    assert watch.note != ""
