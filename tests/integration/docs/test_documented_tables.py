"""The tables of the pages name what the code has: every setting with its default and range, every event of the logs."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import fields

import pytest

from penstock.truss import ConfigError, PenstockSettings, parse_config
from penstock_controller.scaling.policy import INPUTS, RULES
from penstock_testing.source_tree import dotted, python_files, syntax, text

LEVELS = {"info", "warning", "error", "exception", "critical"}


ReadTable = Callable[[str, str], list[list[str]]]

BESIDE = {"autoscaling.buffer_slots": "max_replica: 1000"}
"""What must stand beside a setting for its whole range to be free of warnings."""


@pytest.fixture(scope="module")
def settings(read_table: ReadTable) -> list[list[str]]:
    """Key, default and range of every documented setting."""
    rows = read_table("docs/websocket_models.md", "key | default | range | meaning")
    return [[cell.strip("`") for cell in row[:3]] for row in rows]


def read(key: str, value: str) -> PenstockSettings:
    """The settings of a config.yaml that has one key; ConfigError as in a start, AssertionError for an unknown key."""
    path = ["penstock", *key.split(".")]
    document = "".join(f"{'  ' * depth}{name}:\n" for depth, name in enumerate(path)).rstrip() + f" {value}\n"
    if key in BESIDE:
        document += f"{'  ' * (len(path) - 1)}{BESIDE[key]}\n"
    config = parse_config(document.encode(), name_default="documented")
    assert config.warnings == ()
    return config.penstock


def field_of(key: str) -> str:
    """The field of PenstockSettings that a key of config.yaml sets."""
    leaf = key.rpartition(".")[2]
    return leaf if leaf in PenstockSettings.__dataclass_fields__ else f"{leaf}_s"


def test_every_setting_is_documented(settings: list[list[str]]) -> None:
    assert sorted(field_of(key) for key, _, _ in settings) == sorted(field.name for field in fields(PenstockSettings))


def test_settings_have_the_documented_defaults(settings: list[list[str]]) -> None:
    for key, default, _ in settings:
        assert getattr(read(key, default), field_of(key)) == getattr(PenstockSettings(), field_of(key)), key


def test_settings_have_the_documented_ranges(settings: list[list[str]]) -> None:
    for key, _, bounds in settings:
        numbers = re.fullmatch(r"(?:(0), or )?([\d.]+) to ([\d.]+)", bounds)
        if numbers is None:
            choices = re.fullmatch(r"`?(\w+)` or `(\w+)`?", bounds)
            assert choices or bounds in {"true or false", "list of paths"}, key
            for value in choices.groups() if choices else ():
                assert getattr(read(key, value), field_of(key)) == value, key
            continue
        zero, low, high = numbers.groups()
        for value in filter(None, (zero, low, high)):
            assert getattr(read(key, value), field_of(key)) == float(value), key
        for value in (f"{float(low) - 0.01:g}" if "." in low else str(int(low) - 1), str(int(high) + 1)):
            with pytest.raises(ConfigError, match=re.escape(f"penstock.{key}: must")):
                read(key, value)


def events_in(component: str) -> set[str]:
    """The names of the events that a component logs. A log line of Truss, which is a sentence, is none."""
    names = set()
    for name in python_files(f"{component}/"):
        for node in ast.walk(syntax(name)):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            logger, _, level = dotted(node.func).rpartition(".")
            event = node.args[0]
            if logger in {"log", "_log"} and level in LEVELS and isinstance(event, ast.Constant):
                names.add(str(event.value))
    return {name for name in names if re.fullmatch("[a-z_]+", name)}


def test_events_of_the_logs_are_documented(read_table: ReadTable) -> None:
    documented: dict[str, set[str]] = defaultdict(set)
    for component, events, _ in read_table("docs/operating.md", "component | event | when"):
        documented[component] |= set(re.findall("`([a-z_]+)`", events))

    assert documented == {component: events_in(component) for component in ("edge", "runner", "controller")}


def test_rules_and_inputs_of_scaling_are_documented(read_table: ReadTable) -> None:
    page = text("docs/scaling.md")
    inputs = {row[0].strip("`"): row[1] for row in read_table("docs/scaling.md", "input | meaning")}

    assert [rule for rule in RULES if f"`{rule}`" not in page] == []
    assert inputs == INPUTS


def kinds_of_events() -> set[str]:
    """The kinds of the events that the controller keeps for operators, as far as they are written out."""
    kinds = set()
    for name in python_files("controller/"):
        for node in ast.walk(syntax(name)):
            if isinstance(node, ast.Call) and dotted(node.func).rpartition(".")[2] == "event" and node.args:
                kind = node.args[0]
                chosen = [kind.body, kind.orelse] if isinstance(kind, ast.IfExp) else [kind]
                kinds |= {str(each.value) for each in chosen if isinstance(each, ast.Constant)}
    return kinds


def test_events_of_the_controller_are_documented(read_table: ReadTable) -> None:
    rows = read_table("docs/operating.md", "event | when")

    documented = {kind for events, _ in rows for kind in re.findall("`([a-z_]+)`", events)}

    made = {"scaling_paused", "scaling_resumed"}
    made |= {f"replica_{change}ed" for change in ("cordon", "uncordon", "drain", "undrain")}
    assert documented == kinds_of_events() | made
