from __future__ import annotations

from google.protobuf.duration_pb2 import Duration

from penstock.api.control.v1 import admin_pb2, control_pb2
from penstock_controller.cli.render.streams import render_preview, render_table
from penstock_controller.cli.render.style import Style


def stream(stream_id: str, **changes: object) -> control_pb2.StreamView:
    values: dict[str, object] = {
        "deployment_id": "echo-1a2b3c4d",
        "replica_id": "echo-1a2b3c4d-x7k2q",
        "edge_id": "edge-b7f0d095",
        "transport": "websocket",
        "client": "10.0.0.7:40112",
        "age": Duration(seconds=3725),
        "silent_for": Duration(nanos=400_000_000),
        "bytes_in": 1536,
        "bytes_out": 240 * 1024 * 1024,
        "messages_in": 17,
        "messages_out": 40_000,
    }
    return control_pb2.StreamView(stream_id=stream_id, **(values | changes))  # type: ignore[arg-type]  # fields by name


def found(*ids: str, matching: int = 0, silent: tuple[str, ...] = ()) -> admin_pb2.ListStreamsResponse:
    streams = [stream(i) for i in ids]
    return admin_pb2.ListStreamsResponse(streams=streams, matching=matching or len(ids), silent_edges=silent)


PLAIN = Style()

TWO = admin_pb2.ListStreamsResponse(
    streams=[
        stream("e1.1"),
        stream("e1.2a", transport="grpc", client="", age=Duration(seconds=5), bytes_in=9, bytes_out=0),
    ],
    matching=2,
)


def test_table_has_a_row_per_stream_and_their_number() -> None:
    assert render_table(TWO, PLAIN).splitlines() == [
        "STREAM  DEPLOYMENT     REPLICA              EDGE           TRANSPORT  CLIENT          AGE   SILENT  IN       "
        "OUT",
        "e1.1    echo-1a2b3c4d  echo-1a2b3c4d-x7k2q  edge-b7f0d095  websocket  10.0.0.7:40112  1h2m  0.4s    1.5 KiB  "
        "240 MiB",
        "e1.2a   echo-1a2b3c4d  echo-1a2b3c4d-x7k2q  edge-b7f0d095  grpc       -               5.0s  0.4s    9 B      "
        "0 B",
        "",
        "2 streams",
    ]


def test_wide_table_has_the_messages() -> None:
    lines = render_table(TWO, Style(wide=True)).splitlines()

    assert lines[0].endswith("OUT      MSGS IN  MSGS OUT")
    assert lines[1].endswith("240 MiB  17       40000")


def test_a_narrow_terminal_keeps_what_tells_streams_apart() -> None:
    lines = render_table(TWO, Style(width=80)).splitlines()

    assert lines[0].split() == ["STREAM", "REPLICA", "CLIENT", "AGE", "SILENT", "IN", "OUT"]
    assert all(len(line) <= 80 for line in lines)
    assert lines[3] == "(-o wide also shows DEPLOYMENT, EDGE, TRANSPORT)"


def test_footer_says_how_many_are_not_shown() -> None:
    shown = render_table(found("a", matching=1234), PLAIN)

    assert shown.endswith("\n\n1 stream of 1234, the oldest; --limit shows more\n")


def test_without_headers_there_are_only_rows() -> None:
    assert render_table(TWO, Style(headers=False)).count("\n") == 2
    assert render_table(found(), Style(headers=False)) == ""
    assert render_table(found(), PLAIN) == "No open streams.\n"


def test_a_client_cannot_steer_the_terminal() -> None:
    odd = admin_pb2.ListStreamsResponse(streams=[stream("a", client="\x1b[2J")], matching=1)

    assert "\x1b" not in render_table(odd, PLAIN)


def test_a_preview_shows_the_first_streams() -> None:
    few = render_preview([stream(f"s{i}") for i in range(20)], PLAIN)
    many = render_preview([stream(f"s{i}") for i in range(25)], PLAIN)

    assert many == f"{few}and 5 more\n"
    assert [line.split()[0] for line in few.splitlines()[1:]] == [f"s{i}" for i in range(20)]
