from __future__ import annotations

import json
from typing import Any

import pytest

from penstock_bench.samples import LoadError, Sample, difference, median_of, parse_sample, range_of, ratio


def process(name: str, cpu_s: float, rss: tuple[int, int] = (1000, 2000), fds: tuple[int, int] = (5, 5)) -> Any:
    return {"name": name, "pid": 1, "cpu_s": cpu_s, "rss_kib": rss, "fds": fds, "threads": (1, 1)}


def group(name: str, messages: int, p50: float = 1.5, p99: float = 3.0, skipped: int = 0) -> Any:
    return {"name": name, "messages": messages, "skipped": skipped, "p50_ms": p50, "p99_ms": p99}


def load(groups: list[Any], processes: list[Any], errors: int = 0) -> str:
    return json.dumps(
        {
            "mode": "load",
            "elapsed_s": 2.0,
            "errors": errors,
            "generator_cpu_s": 0.5,
            "groups": groups,
            "processes": processes,
        }
    )


def per_s(sample: Sample) -> float | None:
    return sample.per_s


def test_cpu_is_per_message_and_summed_by_name() -> None:
    sample = parse_sample(load([group("all", 1000)], [process("nginx", 0.01), process("nginx", 0.02)]))

    assert sample.per_s == 500
    assert sample.cpu_us == {"nginx": pytest.approx(30)}
    assert sample.generator_us == 500


def test_control_processes_are_no_part_of_the_sum() -> None:
    sample = parse_sample(load([group("all", 1000)], [process("edge", 0.01), process("control", 0.5)]))

    assert sample.cpu_us["control"] == pytest.approx(500)
    assert sample.cpu_us_total == pytest.approx(10)


def test_the_first_group_is_measured_and_the_others_are_company() -> None:
    sample = parse_sample(load([group("light", 100, p99=7.0), group("heavy", 900)], [process("edge", 0.01)]))

    assert sample.per_s == 50
    assert sample.p99_ms == 7.0
    assert sample.company_per_s == 450
    assert sample.cpu_us["edge"] == pytest.approx(10), "per message of all groups: they share the processes"


def test_a_group_without_answers_has_no_latency() -> None:
    sample = parse_sample(load([group("all", 0, p50=-1, p99=-1)], [process("edge", 0.01)]))

    assert sample.p50_ms is None
    assert sample.cpu_us_total is None


def test_messages_that_could_not_be_sent_are_counted() -> None:
    assert parse_sample(load([group("all", 5, skipped=7)], [])).skipped == 7


def test_idle_memory_is_per_stream() -> None:
    line = json.dumps(
        {
            "mode": "idle",
            "conns": 2000,
            "errors": 0,
            "processes": [process("edge", 0, (50_000, 70_000)), process("runner", 0, (40_000, 44_000))],
        }
    )

    sample = parse_sample(line)

    assert sample.kib_per_stream == {"edge": 10, "runner": 2}
    assert sample.kib_per_stream_total == 12


def test_a_churn_counts_descriptors_that_stay() -> None:
    line = json.dumps(
        {
            "mode": "churn",
            "cycles": 100,
            "per_s": 50,
            "cycle_p50_ms": 1,
            "cycle_p99_ms": 2,
            "errors": 0,
            "processes": [process("edge", 0.01, fds=(10, 13))],
        }
    )

    sample = parse_sample(line)

    assert sample.fd_growth == {"edge": 3}
    assert sample.cpu_us == {"edge": pytest.approx(100)}


@pytest.mark.parametrize("line", ["", "Killed", '{"error": "timed out", "opened": 3, "errors": 0}'])
def test_a_failure_is_an_error_with_its_words(line: str) -> None:
    with pytest.raises(LoadError, match="timed out" if "error" in line else "JSON"):
        parse_sample(line)


def test_the_median_ignores_rounds_without_the_figure() -> None:
    rounds = {0: Sample(per_s=1), 1: Sample(), 2: Sample(per_s=9), 3: Sample(per_s=2)}

    assert median_of(rounds, per_s) == 2
    assert range_of(rounds, per_s) == (1, 9)
    assert median_of({}, per_s) is None


def test_ratios_are_taken_within_a_round() -> None:
    ours = {0: Sample(per_s=20), 1: Sample(per_s=200), 2: Sample(per_s=5)}
    theirs = {0: Sample(per_s=10), 1: Sample(per_s=100), 3: Sample(per_s=1)}

    assert ratio(ours, theirs, per_s) == 2
    assert difference(ours, theirs, per_s) == 55


def test_no_round_in_common_gives_no_ratio() -> None:
    assert ratio({0: Sample(per_s=1)}, {1: Sample(per_s=1)}, per_s) is None
