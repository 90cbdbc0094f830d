"""The settings of the deployment that is simulated: those of a config.yaml, with what-if changes. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import yaml

from penstock.truss import ConfigError, PenstockSettings, parse_config
from penstock_controller.scaling.config import ScalingSettings, settings_of

DEFAULT_AUTOSCALING = {"max_replica": 100, "max_concurrency": 8}
"""Where no deployment is named: the defaults of config.yaml (one replica of 1000 slots) leave nothing to scale."""

AUTOSCALING_KEYS = tuple(field.name.removesuffix("_s") for field in fields(ScalingSettings))
LIMIT_KEYS = ("queue_timeout", "queue_streams_max")
"""Keys of `penstock.limits` that a simulation knows."""


class SettingError(ValueError):
    """A setting is wrong; the text is for the user."""


@dataclass(frozen=True, slots=True)
class Scaled:
    """What a simulation takes of the settings of a deployment."""

    scaling: ScalingSettings
    queue_timeout_s: float
    queue_streams_max: int


def scaled(penstock: Mapping[str, Any], changes: Sequence[str], name: str) -> Scaled:
    """Reads the mapping `penstock` of a config.yaml and changes it.

    Args:
        changes: each "key=value", keys as in config.yaml under `penstock.autoscaling` and `penstock.limits`.
        name: what the mapping is, for messages.

    Raises:
        SettingError: A key is not known, or a value is wrong: with key, value and range.
    """
    autoscaling = dict(penstock.get("autoscaling") or {})
    limits = dict(penstock.get("limits") or {})
    _parse(autoscaling, limits, name)
    for change in changes:
        key, value = _split(change)
        (limits if key in LIMIT_KEYS else autoscaling)[key] = value
    settings = _parse(autoscaling, limits, "--set")
    return Scaled(settings_of(settings), settings.queue_timeout_s, settings.queue_streams_max)


def _split(change: str) -> tuple[str, Any]:
    key, equals, text = change.partition("=")
    key = key.strip()
    known = (*AUTOSCALING_KEYS, *LIMIT_KEYS)
    if not equals:
        raise SettingError(f"--set {change}: must be KEY=VALUE, for example scale_down_delay=120")
    if key not in known:
        near = difflib.get_close_matches(key, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
        raise SettingError(f"--set {change}: {key!r} is no setting of a simulation; {hint}")
    try:
        return key, yaml.safe_load(text)
    except yaml.YAMLError:
        raise SettingError(f"--set {change}: {text!r} is no value as in config.yaml") from None


def _parse(autoscaling: Mapping[str, Any], limits: Mapping[str, Any], name: str) -> PenstockSettings:
    document = {"penstock": {"autoscaling": dict(autoscaling), "limits": dict(limits)}}
    try:
        return parse_config(yaml.safe_dump(document).encode(), name_default="simulated").penstock
    except ConfigError as exc:
        problems = [f"{problem.key.rpartition('.')[2]}: {problem.message}" for problem in exc.problems]
        raise SettingError(f"{name}: {'; '.join(problems)}") from None
