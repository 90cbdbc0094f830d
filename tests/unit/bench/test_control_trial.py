"""A small fleet against a real controller."""

from __future__ import annotations

import os

import pytest

from penstock.state_dir import prepare_state_dir
from penstock_bench.control import trial
from penstock_bench.control.fleet import Fleet
from penstock_bench.control.process_meter import machine_cpu_s, read_meter
from penstock_bench.processes import StartError


def test_a_fleet_attaches_and_its_counts_reach_every_edge() -> None:
    fleet = Fleet("small", runners=6, edges=2, streams=600, runners_per_connection=2)

    found = trial.run_trial(fleet, seconds=2.0, warm_s=0.1)

    assert found.statuses_per_s > 4, "six probes, a stream per second each"
    assert found.delays >= 2 * 6 and found.delays_lost == 0
    assert found.delay_p50_ms is not None and 0 < found.delay_p50_ms < 5000
    assert found.snapshots_per_s > 1 and found.snapshot_bytes > 6 * 40
    assert found.resident_mib > 10


def test_a_controller_that_does_not_start_is_an_error_with_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "CONTROLLER_COMMAND", (*trial.CONTROLLER_COMMAND[:-1], "penstock_no_such"))

    with pytest.raises(StartError, match="penstock_no_such"):
        trial.run_trial(Fleet("small", 1, 1, 10), seconds=0.1, warm_s=0)


def test_a_runner_that_is_refused_ends_the_trial_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "write_state", lambda folder, replicas: prepare_state_dir(folder))

    with pytest.raises(StartError, match="is not known to this controller"):
        trial.run_trial(Fleet("small", 1, 1, 10), seconds=0.1, warm_s=0)


def test_a_process_is_read_from_proc() -> None:
    before, machine_before = read_meter(os.getpid()), machine_cpu_s()
    while read_meter(os.getpid()).cpu_s < before.cpu_s + 0.05:
        pass

    assert machine_cpu_s() > machine_before
    assert before.resident_mib > 5 and before.threads >= 1
    with pytest.raises(OSError, match="No such"):
        read_meter(2**22 + 1)
