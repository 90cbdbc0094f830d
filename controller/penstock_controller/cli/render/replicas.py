"""Tables of replicas: all of them, and the drain ledger."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.api.control.v1 import admin_pb2, control_pb2
from penstock_controller.cli.quantities import age, byte_size
from penstock_controller.cli.render.grid import Cell, Column, Grid, grid
from penstock_controller.cli.render.style import Style, Tone
from penstock_controller.cli.render.verdict import STALE_AFTER_S
from penstock_controller.cli.render.wording import (
    age_or_dash,
    due,
    last_line,
    printable,
    seconds_in,
    short_replica_ids,
    since,
    state_tone,
    state_word,
    used,
)

LAG_WARNING_S = 0.5
"""Delay of an event loop from which it is marked: streams of a busy loop get their audio late."""

_COLUMNS = (
    Column("REPLICA"),
    Column("STATE"),
    Column("STREAMS"),
    Column("GPU", leaves=6),
    Column("UP", leaves=4),
    Column("IDLE", leaves=3),
    Column("HEARTBEAT", leaves=2),
    Column("LOOP LAG", leaves=5),
    Column("VERSION", leaves=7),
)
_WIDE_COLUMNS = (
    Column("ADDRESS"),
    Column("PID"),
    Column("RESTARTS"),
    Column("DEADLINE"),
    Column("ADMITTED"),
    Column("REJECTED"),
    Column("MEMORY"),
)
_NOTE = Column("NOTE", least=20)

DRAINING_COLUMNS = (
    Column("REPLICA"),
    Column("OPEN STREAMS"),
    Column("DRAINING FOR"),
    Column("OLDEST STREAM"),
    Column("DEADLINE"),
)


def replica_columns(style: Style) -> tuple[Column, ...]:
    return (*_COLUMNS, *(_WIDE_COLUMNS if style.wide else ()), _NOTE)


def replica_table(replicas: Sequence[admin_pb2.ReplicaView], now_wall: float, style: Style) -> Grid:
    if not replicas:
        return Grid("")
    short = short_replica_ids(r.replica_id for r in replicas)

    def row(r: admin_pb2.ReplicaView) -> tuple[Cell | str, ...]:
        idle = seconds_in(r, "idle_for")
        up = since(r, "started_at", now_wall)
        common = (
            r.replica_id if style.wide else short[r.replica_id],
            _state(r),
            Cell(used(r.active_streams, r.stream_capacity), key=r.active_streams),
            printable(r.gpus) or "-",
            Cell(age_or_dash(up), key=up),
            Cell(age_or_dash(idle), key=idle),
            _heartbeat(r),
            _lag(r),
            printable(r.version) or "-",
        )
        return (*common, *(_wide(r, now_wall) if style.wide else ()), _note(r, now_wall, style))

    return grid(replica_columns(style), map(row, replicas), style)


def draining_table(replicas: Sequence[admin_pb2.ReplicaView], now_wall: float, style: Style) -> Grid:
    """Returns the replicas that finish their streams; no text when none does."""
    draining = [r for r in replicas if r.state == control_pb2.REPLICA_STATE_DRAINING]
    if not draining:
        return Grid("")
    short = short_replica_ids(r.replica_id for r in replicas)

    def row(r: admin_pb2.ReplicaView) -> tuple[Cell | str, ...]:
        began = since(r, "drain_started_at", now_wall)
        oldest = since(r, "oldest_stream_at", now_wall)
        return (
            r.replica_id if style.wide else short[r.replica_id],
            Cell(str(r.active_streams), key=r.active_streams),
            Cell(age_or_dash(began), key=began),
            Cell(age_or_dash(oldest), key=oldest),
            _deadline(r, now_wall),
        )

    return grid(DRAINING_COLUMNS, map(row, draining), style)


def _state(r: admin_pb2.ReplicaView) -> Cell:
    marks = [
        (r.crash_looping, "crash loop"),
        (r.unhealthy, "unhealthy"),
        (r.suspect, "suspect"),
        (r.cordoned and not r.suspect, f"cordoned: {printable(r.cordon_reason)}" if r.cordon_reason else "cordoned"),
    ]
    said = [text for holds, text in marks if holds]
    tone = Tone.BAD if r.crash_looping or r.unhealthy else Tone.WARNING if said else state_tone(r.state)
    return Cell(state_word(r.state) + (f" ({', '.join(said)})" if said else ""), tone)


def _heartbeat(r: admin_pb2.ReplicaView) -> Cell:
    seconds = seconds_in(r, "status_age")
    if seconds is not None and seconds > STALE_AFTER_S:
        return Cell(f"{age(seconds)} STALE", Tone.BAD, key=seconds)
    return Cell(age_or_dash(seconds), key=seconds)


def _lag(r: admin_pb2.ReplicaView) -> Cell:
    seconds = seconds_in(r, "event_loop_lag")
    if seconds is None:
        return Cell("-")
    text = age(seconds) if seconds >= 1 else f"{seconds * 1000:.0f}ms"
    return Cell(text, Tone.WARNING if seconds >= LAG_WARNING_S else None, key=seconds)


def _deadline(r: admin_pb2.ReplicaView, now_wall: float) -> Cell:
    if not r.HasField("drain_deadline"):
        return Cell("none" if r.state == control_pb2.REPLICA_STATE_DRAINING else "-")
    passed = since(r, "drain_deadline", now_wall)
    return Cell(due(passed), Tone.WARNING, key=-(passed or 0.0))


def _note(r: admin_pb2.ReplicaView, now_wall: float, style: Style) -> str:
    message = last_line(r.message, style)
    if not r.HasField("next_start_at"):
        return message or "-"
    start = f"next start {due(since(r, 'next_start_at', now_wall))}"
    return f"{start}: {message}" if message else start


def _wide(r: admin_pb2.ReplicaView, now_wall: float) -> tuple[Cell | str, ...]:
    return (
        r.address or "-",
        Cell(str(r.pid or "-"), key=r.pid),
        Cell(str(r.restarts), key=r.restarts),
        _deadline(r, now_wall),
        Cell(str(r.streams_total), key=r.streams_total),
        Cell(str(r.rejected_total), key=r.rejected_total),
        Cell(byte_size(r.resident_bytes) if r.resident_bytes else "-", key=r.resident_bytes),
    )
