"""Table of edges: above all, whether each routes by what the controller knows."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.api.control.v1 import admin_pb2
from penstock_controller.cli.quantities import age
from penstock_controller.cli.render.grid import Cell, Column, Grid, grid
from penstock_controller.cli.render.style import Style, Tone
from penstock_controller.cli.render.verdict import STALE_AFTER_S, Sync, lag, sync
from penstock_controller.cli.render.wording import printable, seconds_in

EDGE_COLUMNS = (
    Column("EDGE"),
    Column("HTTP", leaves=1),
    Column("GRPC", leaves=4),
    Column("STREAMS"),
    Column("WAITING"),
    Column("SNAPSHOT"),
    Column("LAG", leaves=2),
    Column("HEARTBEAT"),
    Column("VERSION", leaves=5),
    Column("STATE", leaves=3),
)

_SYNC_TONES = {Sync.SYNCED: Tone.GOOD, Sync.STALE: Tone.BAD, Sync.NONE: Tone.WARNING}


def edge_table(edges: Sequence[admin_pb2.EdgeView], controller: admin_pb2.ControllerStatus, style: Style) -> Grid:
    if not edges:
        return Grid("")

    def row(e: admin_pb2.EdgeView) -> tuple[Cell | str, ...]:
        word = sync(e, controller)
        silent = seconds_in(e, "status_age") or 0.0
        return (
            printable(e.edge_id),
            printable(e.http_address) or "-",
            printable(e.grpc_address) or "-",
            Cell(str(e.active_streams), key=e.active_streams),
            Cell(str(e.waiting_streams), key=e.waiting_streams),
            Cell(word, _SYNC_TONES[word]),
            _lag(e, controller),
            Cell(age(silent), Tone.BAD if silent > STALE_AFTER_S else None, key=silent),
            printable(e.version) or "-",
            Cell("draining", Tone.WARNING) if e.draining else Cell("serving", Tone.GOOD),
        )

    return grid(EDGE_COLUMNS, map(row, edges), style)


def _lag(e: admin_pb2.EdgeView, controller: admin_pb2.ControllerStatus) -> Cell:
    """Returns the snapshots by which an edge is behind, or the old epoch that it follows."""
    behind = lag(e, controller)
    if behind is not None:
        return Cell(str(behind), key=behind)
    return Cell(f"epoch {e.snapshot_epoch}" if e.snapshot_version else "-")
