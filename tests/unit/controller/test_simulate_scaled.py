from __future__ import annotations

from typing import Any

import pytest

from penstock.placement import PlacementStrategy
from penstock_controller.scaling.config import ScalingSettings
from penstock_controller.simulate.scaled import AUTOSCALING_KEYS, SettingError, scaled


def test_settings_come_from_config_yaml_and_changes_win() -> None:
    penstock: dict[str, Any] = {
        "autoscaling": {"min_replica": 2, "max_replica": 6, "scale_down_delay": 120},
        "limits": {"queue_timeout": 12},
        "keepalive": {"ping_interval": 5},
    }
    found = scaled(penstock, ["max_replica=9", "placement=packed", "cordon_surplus=true", "queue_streams_max=7"], "x")

    assert found.scaling == ScalingSettings(
        min_replica=2,
        max_replica=9,
        scale_down_delay_s=120.0,
        placement=PlacementStrategy.PACKED,
        cordon_surplus=True,
    )
    assert (found.queue_timeout_s, found.queue_streams_max) == (12.0, 7)


def test_without_anything_the_defaults_of_config_yaml_hold() -> None:
    assert scaled({}, [], "x").scaling == ScalingSettings()


def test_every_setting_of_scaling_can_be_changed() -> None:
    for key in AUTOSCALING_KEYS:
        default = {"metric": "requests", "placement": "packed", "cordon_surplus": "true"}.get(key, "10")
        changes = ["max_replica=50", f"{key}={default}"] if key != "max_replica" else ["max_replica=10"]
        assert scaled({}, changes, "x").scaling != ScalingSettings(), key


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("max_replica", "--set max_replica: must be KEY=VALUE, for example"),
        ("max_replicas=3", "'max_replicas' is no setting of a simulation; did you mean max_replica"),
        ("colour=red", "'colour' is no setting of a simulation; known are min_replica, max_replica"),
        ("max_replica=0", "--set: max_replica: must be a whole number from 1 to 10000, got number 0"),
        (
            "scale_down_delay=9999",
            "scale_down_delay: must be a number of seconds from 0 to 3600, got number 9999",
        ),
        ("placement=tight", "--set: placement: must be one of spread, packed, got "),
        ("min_replica=5", "must not be below min_replica"),
        ("queue_timeout=soon", "--set: queue_timeout: must be a number of seconds"),
        ("max_replica=[", "is no value as in config.yaml"),
    ],
)
def test_a_wrong_change_is_refused_with_key_value_and_range(change: str, complaint: str) -> None:
    with pytest.raises(SettingError) as caught:
        scaled({"autoscaling": {"max_replica": 3}}, [change], "x")

    assert complaint in str(caught.value)


def test_a_wrong_file_is_named_rather_than_the_changes() -> None:
    with pytest.raises(SettingError, match=r"^models/echo: max_replica: must be"):
        scaled({"autoscaling": {"max_replica": 0}}, ["max_replica=3"], "models/echo")
