from __future__ import annotations

from penstock_controller.actuators.replica_logs import _NAME
from penstock_controller.log_origins import build_log_name, owners, shown_replicas


def test_ended_replicas_come_first_and_only_the_last_of_them() -> None:
    kept = {f"echo-1-aaaa{end}": float(number) for number, end in enumerate("bcdefg")}
    alive = ["echo-1-aaaac", "echo-1-zzzzz"]
    other = {"echo-1-x-aaaaa": 9.0, "voice-2-aaaaa": 9.0}
    shown = shown_replicas("echo-1", alive, {**kept, **other})
    assert shown == ["echo-1-aaaae", "echo-1-aaaaf", "echo-1-aaaag", "echo-1-aaaac", "echo-1-zzzzz"]
    assert shown_replicas("echo-1", [], kept, ended_shown=0) == []


def test_a_replica_that_has_ended_belongs_to_its_deployment() -> None:
    assert owners({"a-1-aaaaa": "a-1"}, ["a-1-bbbbb"]) == {"a-1-aaaaa": "a-1", "a-1-bbbbb": "a-1"}


def test_the_log_of_a_build_is_never_taken_for_that_of_a_replica() -> None:
    assert not _NAME.fullmatch(build_log_name("echo-0a1b2c3d"))
