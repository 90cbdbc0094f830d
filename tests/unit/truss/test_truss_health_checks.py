"""`runtime.health_checks` of config.yaml (truss.md section 2.7)."""

from __future__ import annotations

import pytest

from penstock.truss import ConfigError, HealthChecks, TrussConfig, parse_config


def read(checks: str) -> TrussConfig:
    return parse_config(f"runtime: {{health_checks: {checks}}}".encode(), name_default="m")


def test_thresholds_are_read() -> None:
    config = read(
        "{startup_threshold_seconds: 2400, restart_threshold_seconds: 600, stop_traffic_threshold_seconds: 30}"
    )

    assert config.health_checks == HealthChecks(2400.0, 600.0, 30.0)
    assert config.startup_timeout_s == 2400.0
    assert config.warnings == ()


@pytest.mark.parametrize("checks", ["null", "{}", "{startup_threshold_seconds: null, restart_threshold_seconds: null}"])
def test_absent_thresholds_are_the_readers_to_choose_but_for_startup(checks: str) -> None:
    assert read(checks).health_checks == HealthChecks(1800.0, None, None)


@pytest.mark.parametrize(
    "key", ["startup_threshold_seconds", "restart_threshold_seconds", "stop_traffic_threshold_seconds"]
)
@pytest.mark.parametrize("value", ["9", "3001", "soon"])
def test_thresholds_outside_of_their_range_are_refused(key: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"{key}: must be a number of seconds from 10 to 3000, got .*{value}"):
        read(f"{{{key}: {value}}}")


def test_deprecated_delay_has_no_effect() -> None:
    config = read("{restart_check_delay_seconds: 1800}")

    assert config.health_checks == HealthChecks()
    assert [warning.message for warning in config.warnings] == [
        "not used: it is deprecated; write startup_threshold_seconds"
    ]
