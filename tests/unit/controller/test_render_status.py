"""What `controller status` prints is an interface. How to take new text: penstock_testing.golden."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from penstock.api.control.v1 import admin_pb2, control_pb2
from penstock_controller.cli.quantities import to_duration
from penstock_controller.cli.render.status import render_status, sort_titles
from penstock_controller.cli.render.style import Style
from penstock_controller.cli.table import display_width
from penstock_controller.conversion import timestamp
from penstock_testing import status_messages as messages
from penstock_testing.golden import assert_golden
from penstock_testing.status_messages import NOW

Status = admin_pb2.GetStatusResponse


def crash_loop() -> Status:
    return Status(
        controller=messages.controller(),
        deployments=[
            messages.deployment(
                ready_replicas=1,
                failed_replicas=1,
                crash_looping_replicas=1,
                active_streams=8,
                stream_capacity=8,
                waiting_streams=2,
                oldest_wait=to_duration(4.2),
                blocked="1 of 2 replicas fails again and again",
                message="Traceback\nValueError: no weights",
            )
        ],
        replicas=[
            messages.replica(
                "aaaaa", 8, suspect=True, cordoned=True, cordon_reason="suspect", status_age=to_duration(12)
            ),
            messages.empty_place("bbbbb"),
        ],
        edges=[messages.edge(waiting_streams=2)],
    )


def recovering() -> Status:
    return Status(
        controller=messages.controller(recovering=True, epoch=4, started_at=timestamp(NOW - 2), snapshot_version=1),
        deployments=[messages.deployment(ready_replicas=0, active_streams=0, stream_capacity=0)],
        edges=[messages.edge(snapshot_epoch=3)],
    )


def draining() -> Status:
    drains: dict[str, Any] = {"state": control_pb2.REPLICA_STATE_DRAINING, "drain_started_at": timestamp(NOW - 240)}
    return Status(
        controller=messages.controller(),
        deployments=[
            messages.deployment(
                ready_replicas=1, target_replicas=1, draining_replicas=2, active_streams=9, stream_capacity=8
            )
        ],
        replicas=[
            messages.replica("aaaaa", 5),
            messages.replica("bbbbb", 3, drain_deadline=timestamp(NOW + 600), **drains),
            messages.replica("ccccc", 1, oldest_stream_at=timestamp(NOW - 7300), **drains),
        ],
        edges=[messages.edge(active_streams=9)],
    )


def from_zero() -> Status:
    return Status(
        controller=messages.controller(),
        deployments=[
            messages.deployment(
                ready_replicas=0,
                starting_replicas=1,
                target_replicas=1,
                min_replicas=0,
                active_streams=0,
                stream_capacity=0,
                waiting_streams=3,
                oldest_wait=to_duration(1.4),
                last_decision=messages.decision("from_zero", "3 streams wait, none is ready or coming", 0, 1, 1.5),
            )
        ],
        replicas=[
            messages.replica(
                "aaaaa",
                state=control_pb2.REPLICA_STATE_STARTING,
                started_at=timestamp(NOW - 1.4),
                stream_capacity=0,
                event_loop_lag=None,
                idle_for=None,
                ready_at=None,
            )
        ],
        edges=[messages.edge(active_streams=0, waiting_streams=3)],
    )


def superseded() -> Status:
    old = messages.deployment(
        deployment_id="echo-9z8y7x6w",
        environments=[],
        superseded=True,
        min_replicas=0,
        ready_replicas=1,
        target_replicas=1,
        active_streams=2,
        stream_capacity=8,
        streams_end_at=timestamp(NOW + 1750),
        last_decision=messages.decision("idle_replica", "idle for 0.0 s, superseded", 2, 1, 30),
    )
    new = messages.deployment(paused=True, manual_replicas=2, environments=["production", "staging"])
    return Status(
        controller=messages.controller(),
        deployments=[new, old],
        replicas=[
            messages.replica("aaaaa", 8),
            messages.replica("bbbbb", 3),
            messages.replica("ddddd", 2, "echo-9z8y7x6w", cordoned=True, cordon_reason="surplus"),
        ],
        edges=[messages.edge(active_streams=13)],
    )


def wide_names() -> Status:
    status = messages.healthy()
    status.deployments[0].environments[:] = ["本番環境", "café"]
    status.deployments.append(messages.deployment("voice", "voice-11111111", message="モデルが重い\x1b[31m\u202eabc"))
    status.replicas[0].message = "重みを読み込み中…"
    status.replicas[1].message = "loads"
    return status


def stale_edge() -> Status:
    status = messages.healthy()
    status.controller.snapshot_version = 400
    status.edges[0].snapshot_version = 398
    status.edges.extend(
        [
            messages.edge("edge-2", status_age=to_duration(31), http_address="10.0.0.2:8000", grpc_address=""),
            messages.edge("edge-3", snapshot_epoch=2, http_address="10.0.0.3:8000"),
            messages.edge("edge-4", snapshot_version=0, snapshot_epoch=0, draining=True, version=""),
        ]
    )
    return status


def chain() -> Status:
    """Two versions beside a model; the older one ends with its last stream."""
    idle: dict[str, Any] = {"ready_replicas": 1, "target_replicas": 1, "active_streams": 0, "stream_capacity": 8}
    old: dict[str, Any] = {"version": "9z8y7x6w", "environments": [], "superseded": True, "min_replicas": 0, **idle}
    needed = messages.decision("needed", "voice-9z8y7x6w has 2 open streams and may call it", 2, 1, 30)
    return Status(
        controller=messages.controller(),
        deployments=[
            messages.chainlet("Hear", **idle),
            messages.chainlet("Hear", last_decision=needed, **old),
            messages.deployment(),
            messages.chainlet("Talk", "Hear", "Think", entry=True),
            messages.chainlet("Talk", "Hear", entry=True, **old | {"active_streams": 2}),
            messages.chainlet("Think", pending_environment="staging", **idle),
        ],
        edges=[messages.edge()],
    )


def empty() -> Status:
    return Status(controller=messages.controller())


SCENES: dict[str, Callable[[], Status]] = {
    "healthy": messages.healthy,
    "crash_loop": crash_loop,
    "recovering": recovering,
    "draining": draining,
    "from_zero": from_zero,
    "superseded": superseded,
    "wide_names": wide_names,
    "stale_edge": stale_edge,
    "chain": chain,
    "empty": empty,
}

STYLES = {
    "pipe": Style(),
    "wide": Style(wide=True),
    "80": Style(unicode=True, color=True, width=80),
    "160": Style(unicode=True, width=160),
}


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("style", ["pipe", "80"])
def test_golden_text_of_each_scene(scene: str, style: str) -> None:
    assert_golden(f"status_{scene}_{style}", render_status(SCENES[scene](), now_wall=NOW, style=STYLES[style]))


@pytest.mark.parametrize("scene", ["draining", "crash_loop"])
@pytest.mark.parametrize("style", ["wide", "160"])
def test_golden_text_of_other_widths(scene: str, style: str) -> None:
    assert_golden(f"status_{scene}_{style}", render_status(SCENES[scene](), now_wall=NOW, style=STYLES[style]))


@pytest.mark.parametrize("scene", SCENES)
def test_plain_text_is_ascii_where_its_content_is(scene: str) -> None:
    text = render_status(SCENES[scene](), now_wall=NOW, style=Style())

    assert text.isascii() or scene == "wide_names"
    assert "\x1b" not in text


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("width", [80, 120, 160])
def test_tables_fit_the_terminal(scene: str, width: int) -> None:
    text = render_status(SCENES[scene](), now_wall=NOW, style=Style(width=width))
    tables = [block for block in text.split("\n\n") if block.startswith(("MODEL", "REPLICA", "EDGE", "Draining"))]

    assert [line for table in tables for line in table.split("\n") if display_width(line) > width] == []
    assert display_width(text.split("\n")[0]) <= width


def test_many_replicas_are_shown_when_asked_for() -> None:
    status = messages.healthy()
    status.replicas.extend(messages.replica(f"r{n:04}") for n in range(30))

    short = render_status(status, now_wall=NOW, style=Style())
    long = render_status(status, now_wall=NOW, style=Style(), with_replicas=True)

    assert "32 replicas; --replicas shows them." in short
    assert "r0029" not in short
    assert "r0029" in long


def test_tables_without_headers_and_sorted() -> None:
    shown = render_status(messages.healthy(), now_wall=NOW, style=Style(headers=False, sort_by="-STREAMS"))
    other = render_status(messages.healthy(), now_wall=NOW, style=Style(headers=False, sort_by="STREAMS"))

    assert "MODEL" not in shown and "REPLICA" not in shown
    assert shown.index("-aaaaa") < shown.index("-bbbbb")
    assert other.index("-bbbbb") < other.index("-aaaaa")


def test_every_title_can_be_sorted_by() -> None:
    assert {"MODEL", "STREAMS", "LOOP LAG", "MEMORY", "OLDEST STREAM", "SNAPSHOT"} <= sort_titles()
