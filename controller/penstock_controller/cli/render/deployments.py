"""`controller deployments` for people."""

from __future__ import annotations

from penstock.api.control.v1 import admin_pb2
from penstock_controller.cli.render.chains import grouped, name_of
from penstock_controller.cli.render.grid import Cell, Column, grid, left_out_note
from penstock_controller.cli.render.status import NO_DEPLOYMENTS, condition_cell, streams, streams_on_draining
from penstock_controller.cli.render.style import Style, Tone
from penstock_controller.cli.render.wording import age_or_dash, printable, short_deployment_ids, since

COLUMNS = (
    Column("MODEL", least=12),
    Column("DEPLOYMENT"),
    Column("STATE"),
    Column("PHASE", leaves=5),
    Column("ENVIRONMENT", leaves=1, least=11),
    Column("CREATED", leaves=2),
    Column("READY"),
    Column("STREAMS"),
    Column("CONDITION", leaves=3, least=28),
    Column("SOURCE", leaves=4, least=20),
)


def render_deployments(status: admin_pb2.GetStatusResponse, *, now_wall: float, style: Style) -> str:
    """Returns the table, with a newline at the end; the newest of each model first."""
    if not status.deployments:
        return NO_DEPLOYMENTS + "\n"
    short = short_deployment_ids(d.deployment_id for d in status.deployments)
    leaving = streams_on_draining(status.replicas)

    def row(d: admin_pb2.DeploymentStatus) -> tuple[Cell | str, ...]:
        created = since(d, "created_at", now_wall)
        return (
            name_of(d, style),
            d.deployment_id if style.wide else short[d.deployment_id],
            state(d),
            d.phase or "-",
            printable(",".join(d.environments)) or "-",
            Cell("-" if created is None else f"{age_or_dash(created)} ago", key=created),
            Cell(f"{d.ready_replicas}/{d.target_replicas}/{d.max_replicas}", key=d.ready_replicas),
            streams(d, leaving[d.deployment_id]),
            condition_cell(d, now_wall, recovering=status.controller.recovering),
            printable(d.source) or "-",
        )

    ordered = sorted(status.deployments, key=lambda d: (d.name, -d.created_at.seconds, d.deployment_id))
    table = grid(COLUMNS, map(row, grouped(ordered)), style)
    return "\n".join([table.text, *left_out_note([table], style)]) + "\n"


def state(d: admin_pb2.DeploymentStatus) -> Cell:
    """Returns what stands between a deployment and new streams."""
    if d.retired:
        return Cell("retired", Tone.WARNING)
    if d.stopped:
        return Cell("stopped", Tone.WARNING)
    if d.pending_environment:
        return Cell("pending", Tone.WARNING)
    if d.superseded:
        return Cell("superseded", Tone.FAINT)
    return Cell("active", Tone.GOOD)
