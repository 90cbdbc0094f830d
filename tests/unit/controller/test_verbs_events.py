from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from penstock.api.control.v1 import admin_pb2
from penstock_controller.cli import following
from penstock_controller.cli.render.style import Style
from penstock_controller.cli.verbs.events import EventLines
from penstock_testing.controller_command import ControllerCommand
from penstock_testing.fake_admin import FakeAdmin

NOON = 1_769_860_800


def event(sequence: int, kind: str = "replica_started", **changes: Any) -> admin_pb2.Event:
    values = {"deployment_id": "echo-1a2b3c4d", "replica_id": "echo-1a2b3c4d-x7k2q", "text": "pid 7916"} | changes
    return admin_pb2.Event(sequence=sequence, at=Timestamp(seconds=NOON + sequence), kind=kind, **values)


def listed(*events: admin_pb2.Event) -> admin_pb2.ListEventsResponse:
    return admin_pb2.ListEventsResponse(events=events)


def watched(*sequences: int) -> list[admin_pb2.WatchEventsResponse]:
    return [admin_pb2.WatchEventsResponse(events=[event(sequence)]) for sequence in sequences]


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "RETRY_S_MIN", 0.001)


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Callable[[FakeAdmin, int], None]:
    """Has Ctrl-C pressed at the n-th event that is shown."""

    def arrange(admin: FakeAdmin, count: int) -> None:
        lines = EventLines.lines
        seen = 0

        def counting(self: EventLines, events: Any) -> list[str]:
            nonlocal seen
            shown = lines(self, events)
            if seen >= count:
                raise KeyboardInterrupt
            seen += len(shown) - (1 if shown and shown[0].startswith("SEQ") else 0)
            return shown

        monkeypatch.setattr(EventLines, "lines", counting)

    return arrange


def test_columns_are_as_wide_as_what_came_so_far() -> None:
    shown = EventLines(Style())

    first = shown.lines([event(9, text="one\ntwo\x1b[2J"), event(10, "scale_decided", replica_id="", text="")])
    later = shown.lines([event(1234, "edge_gone", deployment_id="", replica_id="")])

    assert [*first, *later] == [
        "SEQ  AT                        EVENT            SUBJECT              TEXT",
        "9    2026-01-31T12:00:09.000Z  replica_started  echo-1a2b3c4d-x7k2q  one two?[2J",
        "10   2026-01-31T12:00:10.000Z  scale_decided    echo-1a2b3c4d        -",
        "1234  2026-01-31T12:20:34.000Z  edge_gone        -                    pid 7916",
    ]


def test_long_texts_are_cut_unless_the_table_is_wide() -> None:
    long = event(1, text="x" * 300)

    assert EventLines(Style(headers=False)).lines([long])[0].endswith("xxx...")
    assert EventLines(Style(headers=False, wide=True)).lines([long])[0].endswith("  " + "x" * 300)


def test_titles_come_with_the_first_event_and_only_once() -> None:
    shown = EventLines(Style())

    assert shown.lines([]) == []
    assert [line.split()[0] for line in [*shown.lines([event(1)]), *shown.lines([event(2)])]] == ["SEQ", "1", "2"]
    assert len(EventLines(Style(headers=False)).lines([event(1)])) == 1


def test_json_is_an_object_per_line(fake_admin: FakeAdmin, controller: ControllerCommand) -> None:
    fake_admin.answer("ListEvents", listed(event(1), event(2, deployment_id="", replica_id="")))

    lines = [json.loads(line) for line in controller("events", "-o", "json").out.splitlines()]

    assert lines[0] == {
        "sequence": 1,
        "at": "2026-01-31T12:00:01.000Z",
        "kind": "replica_started",
        "deployment_id": "echo-1a2b3c4d",
        "replica_id": "echo-1a2b3c4d-x7k2q",
        "text": "pid 7916",
    }
    assert (lines[1]["deployment_id"], lines[1]["replica_id"]) == (None, None)


@pytest.mark.parametrize(
    ("arguments", "request_"),
    [
        ([], {"limit": 100}),
        (["--limit", "5", "--deployment", "echo"], {"limit": 5, "deployment": "echo"}),
        (["--after", "7"], {"after_sequence": 7, "limit": 10_000}),
        (["--after", "7", "--limit", "3"], {"after_sequence": 7, "limit": 3}),
    ],
)
def test_filters_go_to_the_controller(
    fake_admin: FakeAdmin, controller: ControllerCommand, arguments: list[str], request_: dict[str, Any]
) -> None:
    fake_admin.answer("ListEvents", listed())

    assert controller("events", *arguments).out == ""
    assert fake_admin.requests["ListEvents"] == [admin_pb2.ListEventsRequest(**request_)]


def test_following_goes_on_where_the_past_ends(fake_admin: FakeAdmin, controller: ControllerCommand) -> None:
    fake_admin.answer("ListEvents", listed(event(3), event(4)))
    fake_admin.answer("WatchEvents", watched(4, 5, 6))

    done = controller("events", "-f", "--deployment", "echo", "--duration", "2")

    assert [line.split()[0] for line in done.out.splitlines()] == ["SEQ", "3", "4", "5", "6"]
    assert done.err == ""
    assert fake_admin.requests["ListEvents"] == [admin_pb2.ListEventsRequest(limit=10, deployment="echo")]
    assert fake_admin.requests["WatchEvents"] == [admin_pb2.WatchEventsRequest(after_sequence=4, deployment="echo")]


def test_following_shows_what_happened_while_the_controller_was_away(
    fake_admin: FakeAdmin, controller: ControllerCommand
) -> None:
    fake_admin.answer("ListEvents", listed(event(1)), grpc.StatusCode.UNAVAILABLE, listed(event(2), event(3)))
    fake_admin.answer("WatchEvents", watched(), watched(4))

    done = controller("events", "-f", "--no-headers", "--duration", "1")

    assert [line.split()[0] for line in done.out.splitlines()] == ["1", "2", "3", "4"]
    assert [line.split(" (")[0] for line in done.err.splitlines()] == [
        "controller: the controller went away",
        "controller: the controller answers again",
    ]
    assert [(r.after_sequence, r.limit) for r in fake_admin.requests["ListEvents"]] == [
        (0, 10),
        (1, 10_000),
        (1, 10_000),
    ]


def test_events_that_are_no_longer_kept_are_told(fake_admin: FakeAdmin, controller: ControllerCommand) -> None:
    fake_admin.answer("ListEvents", listed(event(1)), listed(event(10)))
    fake_admin.answer("WatchEvents", watched(), watched())

    assert "8 events in between are no longer kept" in controller("events", "-f", "--duration", "2").err


def test_ctrl_c_ends_following_in_order(
    fake_admin: FakeAdmin, controller: ControllerCommand, interrupted: Callable[[FakeAdmin, int], None]
) -> None:
    fake_admin.answer("ListEvents", listed(event(1)))
    fake_admin.answer("WatchEvents", watched(2, 3, 4))
    interrupted(fake_admin, 2)

    done = controller("events", "-f", "--no-headers")

    assert (done.status, [line.split()[0] for line in done.out.splitlines()]) == (0, ["1", "2"])


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--record", "f", "-f"], "--record may not stand beside"),
        (["--record", "f", "--limit", "1"], "--record may not stand beside"),
        (["--record", "f", "--after", "0"], "--record may not stand beside"),
        (["--duration", "5"], "--duration is for -f and --record"),
        (["--limit", "10001"], "from 1 to 10000"),
        (["-f", "--duration", "31d"], "0.1 to 2.592e+06 s"),
    ],
)
def test_what_does_not_go_together_is_bad_usage(
    fake_admin: FakeAdmin, controller: ControllerCommand, arguments: list[str], complaint: str
) -> None:
    done = controller("events", *arguments)

    assert done.status == 2
    assert complaint in done.err
    assert fake_admin.requests == {}
