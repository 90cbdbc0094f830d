from __future__ import annotations

from dataclasses import fields

from penstock.placement import PlacementStrategy
from penstock.truss import PenstockSettings
from penstock_controller.scaling.config import Metric, ScalingSettings, settings_of


def test_what_config_yaml_says_is_taken_over() -> None:
    penstock = PenstockSettings(
        min_replica=1,
        max_replica=9,
        max_concurrency=4,
        metric="requests",
        scale_down_delay_s=30.0,
        buffer_slots=2,
        placement="packed",
        cordon_surplus=True,
    )

    settings = settings_of(penstock)

    assert (settings.metric, settings.placement) == (Metric.REQUESTS, PlacementStrategy.PACKED)
    named = [field.name for field in fields(ScalingSettings)]
    assert [getattr(settings, name) for name in named] == [getattr(penstock, name) for name in named]


def test_both_have_the_same_defaults() -> None:
    assert settings_of(PenstockSettings()) == ScalingSettings()
