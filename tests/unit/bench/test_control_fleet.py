from __future__ import annotations

from pathlib import Path

import pytest

from penstock_bench.control import fleet as fleets
from penstock_bench.control.costs import measure_costs
from penstock_bench.control.state_folder import write_state
from penstock_controller.serving import DATABASE_FILE
from penstock_controller.store import Store


@pytest.mark.parametrize("fleet", fleets.FLEETS, ids=lambda fleet: fleet.key)
def test_no_simulated_runner_is_full(fleet: fleets.Fleet) -> None:
    assert fleet.streams / fleet.runners < fleets.CAPACITY / 2
    assert fleet.runners % fleet.runners_per_connection == 0


def test_the_fleet_of_the_issue_is_measured_by_default() -> None:
    standard = {(f.runners, f.edges, f.streams, f.churns) for f in fleets.FLEETS if f.standard}

    assert {(1000, 50, 200_000, True), (1000, 50, 200_000, False)} <= standard


def test_an_idle_fleet_sends_no_changes() -> None:
    idle = fleets.Fleet("k", 10, 1, 1000, churns=False)

    assert (idle.opens_per_s, idle.probes) == (0, 0)


def test_the_state_folder_holds_a_fleet_that_was_started(tmp_path: Path) -> None:
    write_state(tmp_path / "state", 3)

    store = Store(tmp_path / "state" / DATABASE_FILE)
    try:
        [deployment] = store.deployments()
        places = store.places()
        assert store.targets() == {deployment.deployment_id: 3}
    finally:
        store.close()
    assert [place.replica_id for place in places] == [fleets.replica_id(number) for number in range(3)]
    assert all(place.occupied for place in places)
    assert deployment.environments == ("production",)
    assert not Path(deployment.source).exists(), "nothing must be started by a measurement"


def test_the_steps_are_measured_on_the_whole_fleet() -> None:
    costs = measure_costs(20, 0.01)

    assert costs.replicas == 20
    assert costs.snapshot_bytes > 20 * 30
    assert 0 < costs.decide_ms < costs.look_ms
    assert min(costs.round_ms, costs.snapshot_ms, costs.report_us) > 0
