from __future__ import annotations

import pytest

from penstock.api.control.v1 import admin_pb2, control_pb2
from penstock_controller.cli.quantities import to_duration
from penstock_controller.cli.render.replicas import draining_table, replica_columns, replica_table
from penstock_controller.cli.render.style import Style
from penstock_controller.conversion import timestamp
from penstock_testing import status_messages as messages
from penstock_testing.status_messages import NOW


def row(replica: admin_pb2.ReplicaView, style: Style = Style()) -> dict[str, str]:  # noqa: B008  # a frozen value
    """The cells of its row, by title; columns are found by where their titles begin."""
    titles, cells = replica_table([replica], NOW, style).text.split("\n")
    columns = [column.title for column in replica_columns(style)]
    starts, at = [], 0
    for column in columns:
        at = titles.index(column, at)
        starts.append(at)
        at += len(column)
    return {
        column: cells[start:end].strip()
        for column, start, end in zip(columns, starts, [*starts[1:], None], strict=True)
    }


def test_idle_replica_tells_since_when() -> None:
    assert row(messages.replica("aaaaa"))["IDLE"] == "1m"
    assert row(messages.replica("aaaaa", 1))["IDLE"] == "-"


def test_silent_replica_is_stale() -> None:
    assert row(messages.replica("aaaaa", status_age=to_duration(12)))["HEARTBEAT"] == "12s STALE"
    assert row(messages.replica("aaaaa", status_age=to_duration(1.9)))["HEARTBEAT"] == "1.9s"


@pytest.mark.parametrize(("seconds", "text"), [(0.0021, "2ms"), (0.75, "750ms"), (30.0, "30s")])
def test_lag_of_the_event_loop_is_shown(seconds: float, text: str) -> None:
    assert row(messages.replica("aaaaa", event_loop_lag=to_duration(seconds)))["LOOP LAG"] == text


def test_last_choice_says_why() -> None:
    assert row(messages.replica("a", cordoned=True, cordon_reason="surplus"))["STATE"] == "ready (cordoned: surplus)"
    assert row(messages.replica("a", cordoned=True))["STATE"] == "ready (cordoned)"
    assert row(messages.replica("a", cordoned=True, suspect=True))["STATE"] == "ready (suspect)"


def test_crash_loop_says_when_it_is_tried_again() -> None:
    shown = row(messages.empty_place("bbbbb", next_start_at=timestamp(NOW + 30)))

    assert shown["STATE"] == "failed (crash loop)"
    assert shown["NOTE"] == "next start in 30s: ValueError: no weights"
    assert row(messages.empty_place("b", message="", next_start_at=timestamp(NOW - 1)))["NOTE"] == "next start now"


def test_wide_shows_process_totals_and_deadline() -> None:
    replica = messages.replica(
        "aaaaa", 3, state=control_pb2.REPLICA_STATE_DRAINING, drain_deadline=timestamp(NOW + 600), restarts=2
    )

    shown = row(replica, Style(wide=True))

    assert shown["ADDRESS"] == "127.0.0.1:7000"
    assert (shown["PID"], shown["RESTARTS"], shown["DEADLINE"]) == ("77", "2", "in 10m")
    assert (shown["ADMITTED"], shown["REJECTED"], shown["MEMORY"]) == ("120", "2", "72 MiB")


def test_ledger_has_draining_replicas_only() -> None:
    drains = messages.replica(
        "bbbbb", 2, state=control_pb2.REPLICA_STATE_DRAINING, drain_started_at=timestamp(NOW - 60)
    )

    shown = draining_table([messages.replica("aaaaa", 3), drains], NOW, Style())

    assert shown.text.split("\n")[1:] == ["echo-0a1b2c3d-bbbbb  2             1m            30m            none"]
    assert draining_table([messages.replica("aaaaa", 3)], NOW, Style()).text == ""
