from __future__ import annotations

import json
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from penstock.api.control.v1 import admin_pb2, load_pb2
from penstock_controller.cli.load_trace import LoadTrace
from penstock_controller.simulate.traces import read_trace

BEGIN = 1_769_860_800
"""2026-01-31T12:00:00Z."""


def at(seconds: float) -> Timestamp:
    moment = Timestamp()
    moment.FromMicroseconds(round((BEGIN + seconds) * 1e6))
    return moment


def load(seconds: float, *deployments: load_pb2.DeploymentLoad) -> load_pb2.RecordLoadResponse:
    return load_pb2.RecordLoadResponse(at=at(seconds), loads=deployments)


def echo(admitted: int = 0, *, refused: int = 0, active: int = 0, max_replica: int = 3) -> load_pb2.DeploymentLoad:
    return load_pb2.DeploymentLoad(
        deployment_id="echo-1",
        name="echo",
        active_streams=active,
        admitted_total=admitted,
        refused_total=refused,
        ready_replicas=1,
        autoscaling=load_pb2.Autoscaling(max_replica=max_replica, metric="streams", scale_down_delay=900.0),
    )


def begun(deployment: str = "", controller: str = "c1") -> LoadTrace:
    trace = LoadTrace(deployment)
    trace.connected(admin_pb2.ControllerStatus(controller_id=controller, epoch=3, version="0.1.0"))
    return trace


def read(lines: list[str]) -> list[dict[str, Any]]:
    assert all(line.endswith("\n") and line.count("\n") == 1 for line in lines)
    return [json.loads(line) for line in lines]


def test_first_line_says_what_the_file_is() -> None:
    head = begun("echo").load(load(0, echo(5, active=2)), 10.0)

    assert read(head)[0] == {
        "kind": "penstock-load-trace",
        "version": 1,
        "started_at": "2026-01-31T12:00:00.000Z",
        "deployment": "echo",
        "controller": {"id": "c1", "epoch": 3, "version": "0.1.0"},
    }


def test_a_change_is_a_line_with_the_state_of_the_world() -> None:
    trace = begun()
    trace.load(load(0, echo(5)), 10.0)
    change = echo(7, refused=1, active=2)
    change.waiting_streams, change.starting_replicas = 4, 1
    change.cold_starts.append(Duration(seconds=11, nanos=520_000_000))

    (line,) = read(trace.load(load(12.345, change), 22.0))

    assert line == {
        "kind": "load",
        "t": 12.345,
        "at": "2026-01-31T12:00:12.345Z",
        "deployment": "echo-1",
        "name": "echo",
        "active": 2,
        "waiting": 4,
        "admitted_total": 2,
        "refused_total": 1,
        "ready": 1,
        "starting": 1,
        "cold_starts": [11.52],
    }


def test_settings_are_told_at_first_and_when_they_change() -> None:
    trace = begun()

    told = [
        "autoscaling" in read(trace.load(load(t, echo(max_replica=most)), t))[-1]
        for t, most in enumerate((3, 3, 5, 5, 3))
    ]

    assert told == [True, False, True, False, True]


def test_settings_have_the_names_and_numbers_of_the_configuration() -> None:
    lines = begun().load(load(0, echo()), 0)
    (_, line) = read(lines)

    assert '"scale_down_delay":900,' in lines[1]

    assert set(line["autoscaling"]) == {
        *("min_replica", "max_replica", "max_concurrency", "metric", "scale_down_delay", "scale_down_interval"),
        *("autoscaling_window", "target_utilization_percentage", "max_scale_down_rate", "buffer_slots", "placement"),
        "cordon_surplus",
    }


def test_a_deployment_that_appears_later_brings_all_it_has() -> None:
    trace = begun()
    trace.load(load(0), 0)

    (line,) = read(trace.load(load(5, echo(9)), 5))

    assert line["admitted_total"] == 9


def test_a_broken_connection_leaves_a_gap_that_the_totals_cover() -> None:
    trace = begun()
    trace.load(load(0, echo(5)), 0)
    trace.load(load(40, echo(8)), 40)
    trace.connected(admin_pb2.ControllerStatus(controller_id="c1"))

    gap, line = read(trace.load(load(43.2, echo(10)), 44))

    assert gap == {
        "kind": "gap",
        "t": 40.0,
        "at": "2026-01-31T12:00:40.000Z",
        "until_t": 43.2,
        "restarted": False,
    }
    assert line["admitted_total"] == 5
    assert trace.gaps == 1


def test_totals_stand_still_over_a_restart_of_the_controller() -> None:
    trace = begun()
    trace.load(load(0, echo(5)), 0)
    trace.load(load(1, echo(8, refused=2)), 1)
    trace.connected(admin_pb2.ControllerStatus(controller_id="c2"))
    # A second attempt before anything was recorded is still the same gap.
    trace.connected(admin_pb2.ControllerStatus(controller_id="c2"))

    gap, first = read(trace.load(load(3, echo(1, active=4)), 3))
    (second,) = read(trace.load(load(4, echo(3, refused=1)), 4))

    assert gap["restarted"] is True
    assert (first["admitted_total"], first["refused_total"]) == (3, 2)
    assert (second["admitted_total"], second["refused_total"]) == (5, 3)


def test_time_stands_still_when_the_clock_of_the_controller_is_set_back() -> None:
    trace = begun()
    trace.load(load(0, echo()), 0)
    trace.load(load(10, echo(1)), 10)

    assert read(trace.load(load(4, echo(2)), 11))[0]["t"] == 10
    assert read(trace.load(load(12, echo(3)), 19))[0]["t"] == 12


def test_the_end_says_how_long_was_recorded() -> None:
    trace = begun()
    assert trace.end(5.0) == []
    trace.load(load(0, echo()), 100.0)
    trace.load(load(10, echo(1)), 110.0)

    assert read(trace.end(112.5)) == [{"kind": "end", "t": 12.5}]
    assert trace.lines == 4


@given(
    st.lists(
        st.tuples(
            st.floats(-5, 20),
            st.integers(0, 50),
            st.integers(0, 50),
            st.sampled_from(("goes on", "breaks", "restarts")),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_times_and_totals_never_shrink(changes: list[tuple[float, int, int, str]]) -> None:
    trace = begun()
    lines: list[dict[str, Any]] = []
    wall = admitted = refused = 0.0
    controller = 1
    for step, more, less, event in changes:
        wall += step
        if event == "restarts":
            controller += 1
            admitted = refused = 0
        if event != "goes on" and lines:
            trace.connected(admin_pb2.ControllerStatus(controller_id=f"c{controller}"))
        admitted, refused = admitted + more, refused + less
        lines += read(trace.load(load(wall, echo(int(admitted), refused=int(refused))), 0.0))

    times = [line["t"] for line in lines if "t" in line]
    loads = [line for line in lines if line["kind"] == "load"]
    assert times == sorted(times)
    for key in ("t", "admitted_total", "refused_total"):
        assert [line[key] for line in loads] == sorted(line[key] for line in loads)
    assert loads[0]["admitted_total"] == 0


def test_the_simulator_reads_what_was_recorded() -> None:
    trace = begun()
    lines = trace.load(load(0, echo(5, active=2)), 0)
    lines += trace.load(load(10, echo(9, active=3, refused=1)), 10)
    trace.connected(admin_pb2.ControllerStatus(controller_id="c2"))
    lines += trace.load(load(20, echo(0, active=1)), 20)
    lines += trace.end(25.0)

    workload = read_trace(lines, "load.jsonl")

    assert workload.horizon_s == 25.0
    assert [(line.arrivals, line.refusals, line.ends) for line in workload.lines] == [(2, 0, 0), (4, 1, 3), (0, 0, 2)]
    assert workload.autoscaling["max_replica"] == 3
