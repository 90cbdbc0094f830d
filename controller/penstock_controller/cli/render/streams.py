"""The open streams as a table and for programs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from penstock.api.control.v1 import admin_pb2, control_pb2
from penstock_controller.cli.quantities import age, byte_size, counted, to_seconds
from penstock_controller.cli.render.documents import API_VERSION, Document
from penstock_controller.cli.render.grid import Cell, Column, grid, left_out_note
from penstock_controller.cli.render.style import Style
from penstock_controller.cli.render.wording import printable

PREVIEW_MAX = 20
"""Most streams that are shown before the question whether to close them."""

COLUMNS = (
    Column("STREAM"),
    Column("DEPLOYMENT", leaves=2),
    Column("REPLICA"),
    Column("EDGE", leaves=4),
    Column("TRANSPORT", leaves=3),
    Column("CLIENT", least=12),
    Column("AGE"),
    Column("SILENT"),
    Column("IN", leaves=1),
    Column("OUT", leaves=1),
    Column("MSGS IN"),
    Column("MSGS OUT"),
)
"""The last two are for wide tables."""


def render_table(answer: admin_pb2.ListStreamsResponse, style: Style) -> str:
    """Returns the table for people, and how many streams it does not show."""
    shown = len(answer.streams)
    if not shown:
        return "No open streams.\n" if style.headers else ""
    lines = render_rows(answer.streams, style)
    if not style.headers:
        return lines
    rest = f" of {answer.matching}, the oldest; --limit shows more" if answer.matching > shown else ""
    return f"{lines}\n{counted(shown, 'stream')}{rest}\n"


def render_rows(streams: Iterable[control_pb2.StreamView], style: Style) -> str:
    """Returns the table alone."""
    columns = COLUMNS if style.wide else COLUMNS[:-2]
    table = grid(columns, [_row(stream)[: len(columns)] for stream in streams], style)
    return "\n".join([table.text, *left_out_note([table], style)]) + "\n"


def render_preview(streams: Sequence[control_pb2.StreamView], style: Style) -> str:
    """Returns a table of the first PREVIEW_MAX streams, and how many more there are."""
    more = len(streams) - PREVIEW_MAX
    shown = render_rows(streams[:PREVIEW_MAX], style)
    return f"{shown}and {more} more\n" if more > 0 else shown


def as_document(answer: admin_pb2.ListStreamsResponse) -> Document:
    """Returns the stable form for programs: durations are seconds, absent values are null."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Streams",
        "matching": answer.matching,
        "silent_edges": list(answer.silent_edges),
        "streams": [
            {
                "id": s.stream_id,
                "deployment_id": s.deployment_id,
                "replica_id": s.replica_id,
                "edge_id": s.edge_id,
                "transport": s.transport,
                "client": s.client or None,
                "age": round(to_seconds(s.age), 3),
                "silent_for": round(to_seconds(s.silent_for), 3),
                "bytes": {"in": s.bytes_in, "out": s.bytes_out},
                "messages": {"in": s.messages_in, "out": s.messages_out},
            }
            for s in answer.streams
        ],
    }


def _row(s: control_pb2.StreamView) -> list[Cell | str]:
    since, silent = to_seconds(s.age), to_seconds(s.silent_for)
    return [
        s.stream_id,
        s.deployment_id or "-",
        s.replica_id or "-",
        s.edge_id or "-",
        s.transport or "-",
        printable(s.client) or "-",
        Cell(age(since), key=since),
        Cell(age(silent), key=silent),
        Cell(byte_size(s.bytes_in), key=s.bytes_in),
        Cell(byte_size(s.bytes_out), key=s.bytes_out),
        Cell(str(s.messages_in), key=s.messages_in),
        Cell(str(s.messages_out), key=s.messages_out),
    ]
