from __future__ import annotations

from penstock_bench.bars import BARS
from penstock_bench.scenarios import SCENARIOS, Group


def test_a_closed_group_names_its_messages_in_flight() -> None:
    assert Group("all", 64, 100, 16).option() == "all:c=64,k=16,s=100"


def test_a_paced_group_names_its_rate() -> None:
    assert Group("light", 62, 640, rate=20).option() == "light:c=62,k=1,s=640,r=20"


def test_a_group_that_never_reads_says_so() -> None:
    assert Group("slow", 2, 65536, reads=False).option() == "slow:c=2,k=1,s=65536,noread"


def test_keys_are_unique() -> None:
    keys = [scenario.key for scenario in SCENARIOS]

    assert sorted(set(keys)) == sorted(keys)


def test_every_bar_has_its_scenario_also_in_a_quick_run() -> None:
    quick = {scenario.key for scenario in SCENARIOS if scenario.quick}

    assert {bar.scenario for bar in BARS} <= quick


def test_memory_is_measured_before_any_load() -> None:
    assert SCENARIOS[0].mode == "idle"
