"""What failing checks lead to, and when (truss.md section 2.7)."""

from __future__ import annotations

from penstock.truss.health_checks import HealthChecks
from penstock_runner.health import Health, HealthEffects, HealthThresholds

NOTHING = HealthEffects()


def health(stop_traffic_s: float = 60, restart_s: float = 120) -> Health:
    return Health(HealthThresholds(stop_traffic_s=stop_traffic_s, restart_s=restart_s))


def test_thresholds_are_half_an_hour_where_config_yaml_has_none() -> None:
    assert HealthThresholds.of(HealthChecks()) == HealthThresholds(stop_traffic_s=1800, restart_s=1800)


def test_thresholds_come_from_config_yaml() -> None:
    checks = HealthChecks(restart_threshold_s=900, stop_traffic_threshold_s=100)

    assert HealthThresholds.of(checks) == HealthThresholds(stop_traffic_s=100, restart_s=900)


def test_healthy_replica_needs_nothing() -> None:
    core = health()

    assert [core.observe(True, now) for now in (0, 10, 20)] == [NOTHING] * 3
    assert core.note == ""
    assert core.has_traffic


def test_checks_that_fail_for_less_than_the_threshold_change_nothing() -> None:
    core = health()

    assert [core.observe(False, now) for now in (10, 20, 30, 40, 50, 60, 69.9)] == [NOTHING] * 7
    assert core.is_failing
    assert core.has_traffic
    assert core.note == "`is_healthy` fails; still admits calls"


def test_traffic_stops_once_at_its_threshold_and_restart_comes_once_at_its_own() -> None:
    core = health()
    core.observe(False, 10)

    assert core.observe(False, 70) == HealthEffects(traffic=False)
    assert core.observe(False, 80) == NOTHING
    assert core.note == "`is_healthy` fails; admits no new calls"
    restart = core.observe(False, 130)
    assert restart == HealthEffects(
        restart_reason="`is_healthy` has failed for 120 s, and `runtime.health_checks.restart_threshold_seconds` is 120"
    )
    assert core.observe(False, 140) == NOTHING


def test_one_good_answer_brings_traffic_back_and_begins_the_count_anew() -> None:
    core = health()
    core.observe(False, 0)
    core.observe(False, 60)

    assert core.observe(True, 70) == HealthEffects(traffic=True)
    assert core.observe(False, 80) == NOTHING
    assert core.observe(False, 139) == NOTHING
    assert core.observe(False, 140) == HealthEffects(traffic=False)


def test_a_good_answer_before_the_threshold_has_no_effect() -> None:
    core = health()
    core.observe(False, 0)

    assert core.observe(True, 10) == NOTHING
    assert not core.is_failing


def test_both_thresholds_may_be_met_at_once() -> None:
    core = health(stop_traffic_s=30, restart_s=30)
    core.observe(False, 0)

    effects = core.observe(False, 31)

    assert effects.traffic is False
    assert effects.restart_reason is not None


def test_a_restart_may_be_due_again_after_a_recovery() -> None:
    core = health()
    core.observe(False, 0)
    core.observe(False, 120)
    core.observe(True, 130)
    core.observe(False, 140)

    assert core.observe(False, 260).restart_reason is not None
