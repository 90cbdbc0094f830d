from __future__ import annotations

from penstock_controller.cli.quantities import to_duration
from penstock_controller.cli.render.edges import edge_table
from penstock_controller.cli.render.style import Style
from penstock_testing import status_messages as messages


def test_edge_tells_whether_it_follows() -> None:
    edges = [
        messages.edge(),
        messages.edge("edge-2", snapshot_version=15),
        messages.edge("edge-3", snapshot_epoch=2, grpc_address=""),
        messages.edge("edge-4", status_age=to_duration(8), draining=True),
    ]

    rows = [line.split() for line in edge_table(edges, messages.controller(), Style(headers=False)).text.split("\n")]

    assert rows[0] == [
        "edge-1",
        "127.0.0.1:8000",
        "127.0.0.1:8001",
        "11",
        "0",
        "SYNCED",
        "0",
        "0.9s",
        "0.1.0",
        "serving",
    ]
    assert rows[1][5:7] == ["SYNCED", "2"]
    assert rows[2][2] == "-"
    assert rows[2][5:8] == ["STALE", "epoch", "2"]
    assert rows[3][5:] == ["STALE", "0", "8.0s", "0.1.0", "draining"]


def test_no_edge_is_no_table() -> None:
    assert edge_table([], messages.controller(), Style()).text == ""
