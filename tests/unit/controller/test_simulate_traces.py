from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_controller.simulate.traces import read_csv, read_trace
from penstock_controller.simulate.workload import WorkloadError

HEAD: dict[str, Any] = {"kind": "penstock-load-trace", "version": 1, "started_at": "2026-01-31T12:00:00.000Z"}


def load(t: float, active: int, admitted: int, refused: int = 0, **more: Any) -> dict[str, Any]:
    totals = {"admitted_total": admitted, "refused_total": refused}
    state = {"waiting": 0, "ready": 1, "starting": 0, "cold_starts": []}
    return {"kind": "load", "t": t, "deployment": "echo-1", "name": "echo", "active": active, **totals, **state, **more}


def lines(*documents: dict[str, Any]) -> list[str]:
    return [json.dumps(document) + "\n" for document in documents]


def open_at(arrived: list[float], durations: list[float], at: float) -> int:
    return sum(begin <= at < begin + length for begin, length in zip(arrived, durations, strict=True))


# CSV


def test_csv_is_read_with_header_and_empty_lines_and_sorted() -> None:
    streams = read_csv(["arrived_at_s,duration_s\n", "10,5\n", "\n", "2.5,100\n"], "a.csv").streams(Random(1))

    assert (list(streams.arrived_at), list(streams.duration), streams.horizon_s) == ([2.5, 10.0], [100.0, 5.0], 102.5)


def test_a_given_length_leaves_later_arrivals_out() -> None:
    streams = read_csv(["1,1\n", "50,1\n"], "a.csv", 20.0).streams(Random(1))

    assert (list(streams.arrived_at), streams.horizon_s) == ([1.0], 20.0)


@pytest.mark.parametrize("line", ["1", "1,2,3", "a,b", "-1,2", "1,-2", "nan,1", "1,inf"])
def test_a_wrong_csv_line_is_refused_with_its_number(line: str) -> None:
    with pytest.raises(WorkloadError, match=r"a\.csv, line 2"):
        read_csv(["1,1\n", line + "\n"], "a.csv")


def test_a_csv_without_streams_is_refused() -> None:
    with pytest.raises(WorkloadError, match="holds no stream"):
        read_csv(["arrived_at_s,duration_s\n"], "a.csv")


# Recorded load


def test_a_recorded_load_is_reproduced_at_every_line() -> None:
    trace = lines(HEAD, load(0, 3, 0), load(10, 5, 4), load(20, 1, 4), load(30, 2, 7), {"kind": "end", "t": 60})
    workload = read_trace(trace, "t.jsonl")
    streams = workload.streams(Random(1))
    arrived, durations = list(streams.arrived_at), list(streams.duration)

    assert [open_at(arrived, durations, at) for at in (0.0, 10.0, 20.0, 30.0, 59.0)] == [3, 5, 1, 2, 2]
    assert len(streams) == 3 + 7
    assert workload.horizon_s == 60


@given(
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=15), st.integers(0, 5), st.integers()
)
def test_open_streams_follow_any_record(changes: list[tuple[int, int]], active: int, seed: int) -> None:
    documents, expected, admitted = [HEAD, load(0, active, 0)], [active], 0
    for number, (starts, ends) in enumerate(changes, 1):
        admitted += starts
        active = active + starts - min(ends, active + starts)
        documents.append(load(float(number), active, admitted))
        expected.append(active)
    streams = read_trace(lines(*documents), "t.jsonl").streams(Random(seed))
    arrived, durations = list(streams.arrived_at), list(streams.duration)

    assert [open_at(arrived, durations, float(at)) for at in range(len(expected))] == expected
    assert arrived == sorted(arrived)


def test_refused_streams_arrive_too() -> None:
    streams = read_trace(lines(HEAD, load(0, 0, 0), load(10, 0, 2, refused=3)), "t.jsonl").streams(Random(1))

    assert len(streams) == 5


def test_a_gap_with_a_restart_counts_what_is_left_and_not_the_totals() -> None:
    gap = {"kind": "gap", "t": 10, "until_t": 40, "restarted": True}
    trace = lines(HEAD, load(0, 4, 0), load(10, 4, 0), gap, load(40, 1, 9), load(50, 1, 9))
    streams = read_trace(trace, "t.jsonl").streams(Random(1))
    arrived, durations = list(streams.arrived_at), list(streams.duration)

    assert len(streams) == 4
    assert [open_at(arrived, durations, at) for at in (39.0, 40.0)] == [4, 1]


def test_cold_starts_and_the_last_settings_are_kept() -> None:
    first = load(0, 0, 0, autoscaling={"max_replica": 3}, cold_starts=[11.5])
    workload = read_trace(lines(HEAD, first, load(5, 0, 0, autoscaling={"max_replica": 4}, cold_starts=[9])), "t")

    assert workload.cold_starts == (11.5, 9.0)
    assert workload.autoscaling == {"max_replica": 4}


def test_a_deployment_is_chosen_by_id_or_name_and_must_be_clear() -> None:
    other = {**load(0, 7, 0), "deployment": "voice-1", "name": "voice"}
    trace = lines(HEAD, load(0, 1, 0), other, {"kind": "end", "t": 10})

    assert len(read_trace(trace, "t", "voice").streams(Random(1))) == 7
    assert len(read_trace(trace, "t", "echo-1").streams(Random(1))) == 1
    with pytest.raises(WorkloadError, match=r"choose one with --deployment: echo-1 \(echo\), voice-1 \(voice\)"):
        read_trace(trace, "t")
    with pytest.raises(WorkloadError, match="holds no deployment 'nose'; there are: echo-1 "):
        read_trace(trace, "t", "nose")


def test_unknown_kinds_and_a_last_line_without_its_end_are_passed_over() -> None:
    trace = [*lines(HEAD, load(0, 1, 0), {"kind": "weather", "t": 3}, load(10, 2, 1)), '{"kind":"load","t":2']

    assert len(read_trace(trace, "t").streams(Random(1))) == 2


@pytest.mark.parametrize(
    ("trace", "complaint"),
    [
        ([], "is no load trace"),
        (lines({"kind": "other"}), "is no load trace"),
        (lines({**HEAD, "version": 2}), "has version 2, this program reads 1"),
        (lines(HEAD), "holds no load of a deployment"),
        (lines(HEAD, load(0, 1, 0)), "covers no time"),
        ([*lines(HEAD), "no json\n"], "line 2: is no JSON"),
        ([*lines(HEAD), "[1]\n"], "line 2: must be an object"),
        (lines(HEAD, {"kind": "load", "t": 1, "deployment": "a"}), "a line lacks a value .*active"),
        (lines(HEAD, load(0, 0, 0), load(9, 1, 6_000_000)), "more than 5,000,000 streams"),
    ],
)
def test_what_is_no_record_is_refused(trace: list[str], complaint: str) -> None:
    with pytest.raises(WorkloadError, match=complaint):
        read_trace(trace, "t.jsonl")
