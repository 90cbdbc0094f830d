"""The whole platform under faults in virtual time; the invariants are those of penstock_testing.simulated_checks.

Every run is one seed, which is in the name of the test and in the failure. More of them, or one again:

    PENSTOCK_SIMULATION_SEEDS=1000-1999 pytest tests/simulation/platform
    PENSTOCK_SIMULATION_SEEDS=17 pytest tests/simulation/platform -k operators
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from penstock_controller.records import ReplicaReport
from penstock_controller.registry import Registry
from penstock_runner.attach_state import AttachState
from penstock_runner.slots import Slots
from penstock_testing.simulated_machine import SimulatedActuator
from penstock_testing.simulated_platform import Scenario, SimulationError, chosen_seeds, simulate

CALM = Scenario(faults={}, acts={})
OPERATORS = Scenario(faults={})
FAULTS = Scenario(acts={})
EVERYTHING = Scenario()
HALF_STARTED = Scenario(acts={}, faults={"kill controller at a start": 1.0}, fault_every_s=4.0, edges=1)
OVERLAPS = Scenario(overlaps=True, faults={**Scenario().faults, "kill controller": 8.0})


def seeds(number: int) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("seed", chosen_seeds(range(number)), ids="seed-{}".format)


@seeds(4)
def test_streams_of_a_calm_platform_are_all_served_and_counted(seed: int, tmp_path: Path) -> None:
    platform = simulate(seed, tmp_path, CALM)

    assert set(platform.checks.ended) <= {"left", "refused"}


@seeds(10)
def test_operators_and_scaling_cut_no_stream(seed: int, tmp_path: Path) -> None:
    platform = simulate(seed, tmp_path, OPERATORS)

    assert set(platform.checks.ended) <= {"left", "refused", "deadline"}


@seeds(14)
def test_faults_leave_counts_and_replicas_right(seed: int, tmp_path: Path) -> None:
    platform = simulate(seed, tmp_path, FAULTS)

    assert set(platform.checks.ended) <= {"left", "refused", "replica crashed", "edge died", "network broke"}


@seeds(16)
def test_faults_and_operators_together_cut_no_stream(seed: int, tmp_path: Path) -> None:
    simulate(seed, tmp_path, EVERYTHING)


@seeds(10)
def test_a_controller_that_was_replaced_commands_no_runner_and_no_edge(seed: int, tmp_path: Path) -> None:
    simulate(seed, tmp_path, OVERLAPS)


def test_a_seed_gives_the_same_run_again(tmp_path: Path) -> None:
    first = simulate(3, tmp_path / "first", EVERYTHING)
    second = simulate(3, tmp_path / "second", EVERYTHING)

    assert first.story() == second.story()


# The invariants bite.


def assert_is_found(scenario: Scenario, folder: Path, what: str, runs: int = 20) -> None:
    """Runs seeds until one finds the fault."""
    for seed in range(runs):
        try:
            simulate(seed, folder / str(seed), scenario)
        except SimulationError as error:
            if what in str(error).partition("what happened")[0]:
                return
    pytest.fail(f"{runs} seeds have not found it")


def test_a_removal_without_compare_and_set_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = Slots.begin_drain
    monkeypatch.setattr(Slots, "begin_drain", lambda self, *, if_idle: begin(self, if_idle=False))

    assert_is_found(EVERYTHING, tmp_path, "agrees to go with")


def test_a_slot_too_many_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def acquire(self: Slots) -> None:
        self.active += 1
        self.admitted_total += 1

    monkeypatch.setattr(Slots, "acquire", acquire)

    assert_is_found(CALM, tmp_path, "admitted with")


def test_a_runner_without_a_fence_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AttachState, "may_command", lambda self, epoch: True)

    assert_is_found(OVERLAPS, tmp_path, "after that of a newer controller")


def test_counting_by_steps_instead_of_by_state_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = Registry.report

    def counted(self: Registry, replica_id: str, session: int, report: ReplicaReport, now: float) -> bool:
        replica = self.replica(replica_id)
        if replica is not None:
            before = replica.active_streams
            step = (report.active_streams > before) - (report.active_streams < before)
            report = replace(report, active_streams=before + step)
        return heard(self, replica_id, session, report, now)

    monkeypatch.setattr(Registry, "report", counted)

    assert_is_found(FAULTS, tmp_path, "are counted")


def test_a_second_start_for_one_place_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(self: SimulatedActuator, replica_id: str) -> bool:
        return False

    monkeypatch.setattr(SimulatedActuator, "may_have_started", never)

    assert_is_found(HALF_STARTED, tmp_path, "lives, in no place")
