"""`controller status` for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from penstock.api.control.v1 import admin_pb2, control_pb2
from penstock_controller.cli.quantities import age, wall_seconds
from penstock_controller.cli.render.chains import grouped, name_of
from penstock_controller.cli.render.edges import EDGE_COLUMNS, edge_table
from penstock_controller.cli.render.grid import Cell, Column, Grid, grid, left_out_note
from penstock_controller.cli.render.replicas import DRAINING_COLUMNS, draining_table, replica_columns, replica_table
from penstock_controller.cli.render.style import Style, Tone
from penstock_controller.cli.render.verdict import Condition, Verdict, condition, verdict
from penstock_controller.cli.render.wording import (
    decision_change,
    due,
    headline,
    one_line,
    printable,
    seconds_in,
    short_deployment_ids,
    since,
    used,
)
from penstock_controller.cli.table import GAP, display_width

REPLICAS_SHOWN_MAX = 20
"""Replicas up to which their table is shown without being asked for."""

REASON_CELLS_MAX = 40

NO_DEPLOYMENTS = "No deployments. Start one with: penstock up DIRECTORY"

_COLUMNS = (
    Column("MODEL", least=12),
    Column("DEPLOYMENT"),
    Column("ENVIRONMENT", leaves=2, least=11),
    Column("READY"),
    Column("STARTING", leaves=5),
    Column("DRAINING", leaves=4),
    Column("STREAMS"),
    Column("WAITING", leaves=1),
    Column("LAST SCALE", leaves=3, least=12),
)
_PHASE = Column("PHASE")
"""With -o wide only."""
_CONDITION = Column("CONDITION", least=28)

_VERDICT_TONES = {
    Verdict.HEALTHY: Tone.GOOD,
    Verdict.RECOVERING: Tone.WARNING,
    Verdict.DEGRADED: Tone.WARNING,
    Verdict.UNAVAILABLE: Tone.BAD,
}

_CONDITION_TONES = {
    Condition.OK: Tone.GOOD,
    Condition.AT_ZERO: Tone.FAINT,
    Condition.SCALING_UP: Tone.GOOD,
    Condition.SCALING_DOWN: Tone.GOOD,
    Condition.STARTING: Tone.WARNING,
    Condition.WAITING: Tone.WARNING,
    Condition.SHORT: Tone.WARNING,
    Condition.BUILDING: Tone.WARNING,
    Condition.BUILD_FAILED: Tone.BAD,
    Condition.UNHEALTHY: Tone.BAD,
    Condition.FAILING: Tone.BAD,
    Condition.CRASH_LOOP: Tone.BAD,
    Condition.UNAVAILABLE: Tone.BAD,
    Condition.RECOVERING: Tone.WARNING,
}


def render_status(
    status: admin_pb2.GetStatusResponse, *, now_wall: float, style: Style, with_replicas: bool = False
) -> str:
    """Returns all tables, with a newline at the end.

    Args:
        status: What to show.
        now_wall: What ages count from, in seconds since the epoch.
        style: How.
        with_replicas: Show the table of replicas even when it is long.
    """
    deployments = deployment_table(status, now_wall, style)
    draining = draining_table(status.replicas, now_wall, style)
    edges = edge_table(status.edges, status.controller, style)
    grids = [deployments, draining, edges]
    parts = [header(status, now_wall=now_wall, style=style), deployments.text]
    if with_replicas or style.wide or len(status.replicas) <= REPLICAS_SHOWN_MAX:
        grids.append(replica_table(status.replicas, now_wall, style))
        parts.append(grids[-1].text)
    else:
        parts.append(f"{len(status.replicas)} replicas; --replicas shows them.")
    parts += [f"Draining:\n{draining.text}" if draining.text else "", edges.text]
    names = Counter(d.name for d in status.deployments)
    parts.append("\n".join(why(d, style, by_id=names[d.name] > 1) for d in grouped(status.deployments)))
    parts += left_out_note(grids, style)
    return "\n\n".join(filter(None, parts)) + "\n"


def sort_titles() -> set[str]:
    """Returns the titles by which a table of a status can be sorted."""
    columns = (
        *deployment_columns(Style(wide=True)),
        *replica_columns(Style(wide=True)),
        *DRAINING_COLUMNS,
        *EDGE_COLUMNS,
    )
    return {column.title for column in columns}


def header(status: admin_pb2.GetStatusResponse, *, now_wall: float, style: Style) -> str:
    """Returns the verdict and the controller; on as many lines as a terminal needs."""
    c = status.controller
    word = verdict(status)
    facts = [
        f"controller {c.controller_id}",
        f"epoch {c.epoch}",
        f"version {c.version}",
        f"up {age(now_wall - wall_seconds(c.started_at))}",
        f"actuator {c.actuator}",
        *([f"scale writer {c.scale_writer}"] if c.scale_writer else []),
        f"snapshot {c.snapshot_version}" + _old(seconds_in(c, "snapshot_age")),
        c.address,
    ]
    text = _wrapped(word, [printable(fact) for fact in facts], style, gap=GAP)
    return style.paint(word, _VERDICT_TONES[word]) + text.removeprefix(word)


def deployment_columns(style: Style) -> tuple[Column, ...]:
    return (*_COLUMNS, *((_PHASE,) if style.wide else ()), _CONDITION)


def deployment_table(status: admin_pb2.GetStatusResponse, now_wall: float, style: Style) -> Grid:
    if not status.deployments:
        return Grid(NO_DEPLOYMENTS)
    short = short_deployment_ids(d.deployment_id for d in status.deployments)
    leaving = streams_on_draining(status.replicas)

    def row(d: admin_pb2.DeploymentStatus) -> tuple[Cell | str, ...]:
        return (
            name_of(d, style),
            d.deployment_id if style.wide else short[d.deployment_id],
            printable(",".join(d.environments)) or "-",
            Cell(f"{d.ready_replicas}/{d.target_replicas}/{d.max_replicas}", key=d.ready_replicas),
            Cell(str(d.starting_replicas), key=d.starting_replicas),
            Cell(str(d.draining_replicas), key=d.draining_replicas),
            streams(d, leaving[d.deployment_id]),
            waiting(d),
            _last_scale(d, now_wall, style),
            *((d.phase or "-",) if style.wide else ()),
            condition_cell(d, now_wall, recovering=status.controller.recovering),
        )

    return grid(deployment_columns(style), map(row, grouped(status.deployments)), style)


def streams_on_draining(replicas: Iterable[admin_pb2.ReplicaView]) -> Counter[str]:
    """Returns the open streams on replicas that drain, by deployment."""
    leaving: Counter[str] = Counter()
    for r in replicas:
        if r.state == control_pb2.REPLICA_STATE_DRAINING:
            leaving[r.deployment_id] += r.active_streams
    return leaving


def streams(d: admin_pb2.DeploymentStatus, leaving: int) -> Cell:
    """Returns "5/8 (62%) +4": in use of the slots of ready replicas, and those on draining ones."""
    text = used(max(0, d.active_streams - leaving), d.stream_capacity)
    return Cell(f"{text} +{leaving}" if leaving else text, key=d.active_streams)


def waiting(d: admin_pb2.DeploymentStatus) -> Cell:
    """Returns "3 (1.2s)": how many wait, and the oldest for how long."""
    oldest = seconds_in(d, "oldest_wait")
    text = str(d.waiting_streams) + ("" if oldest is None else f" ({age(oldest)})")
    return Cell(text, Tone.WARNING if d.waiting_streams else None, key=d.waiting_streams)


def condition_cell(d: admin_pb2.DeploymentStatus, now_wall: float, *, recovering: bool = False) -> Cell:
    """Returns the condition, and what an operator has changed: "ok, paused"."""
    word = condition(d, recovering=recovering)
    text: str = word
    if word is Condition.CRASH_LOOP:
        text += f" ({d.crash_looping_replicas})"
    flags = [
        (d.retired, "being removed"),
        (d.superseded, "superseded"),
        (d.HasField("streams_end_at"), f"streams end {due(since(d, 'streams_end_at', now_wall))}"),
        (bool(d.pending_environment), f"{printable(d.pending_environment)} to follow"),
        (d.HasField("manual_replicas"), f"fixed at {d.manual_replicas}"),
        (d.paused, "paused"),
    ]
    return Cell(", ".join([text, *(words for holds, words in flags if holds)]), _CONDITION_TONES[word])


def why(d: admin_pb2.DeploymentStatus, style: Style, *, by_id: bool) -> str:
    """Says why a deployment has the replicas it has, and what keeps it from having others."""
    line = f"{printable(d.deployment_id if by_id else d.name)}: {d.target_replicas} wanted"
    if d.HasField("last_decision"):
        line += f" ({d.last_decision.rule}: {one_line(d.last_decision.reason, style)})"
    if d.blocked:
        line += f"; blocked: {one_line(d.blocked, style)}"
    if d.message:
        line += f"; {one_line(headline(d), style)}"
    first, *words = line.split(" ")
    return _wrapped(first, words, style, gap=" ")


def _last_scale(d: admin_pb2.DeploymentStatus, now_wall: float, style: Style) -> Cell:
    if not d.HasField("last_decision"):
        return Cell("-")
    decision = d.last_decision
    reason = one_line(decision.reason, style)
    # The line below the tables has all of it.
    reason = reason if style.wide else style.cut(reason, REASON_CELLS_MAX)
    text = f"{decision_change(decision, now_wall, style)}: {reason}"
    return Cell(text, key=wall_seconds(decision.at))


def _old(seconds: float | None) -> str:
    return "" if seconds is None else f" ({age(seconds)} old)"


def _wrapped(first: str, parts: Iterable[str], style: Style, *, gap: str) -> str:
    """Joins parts; on a terminal begins a new, indented line where one is full."""
    lines = [first]
    for part in parts:
        longer = lines[-1] + gap + part
        if style.width is not None and display_width(longer) > style.width:
            lines.append(GAP + part)
        else:
            lines[-1] = longer
    return "\n".join(lines)
