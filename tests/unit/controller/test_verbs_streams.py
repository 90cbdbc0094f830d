from __future__ import annotations

import io

import pytest
from google.protobuf.duration_pb2 import Duration

from penstock.api.control.v1 import admin_pb2, control_pb2
from penstock_controller.cli.failures import CommandError
from penstock_controller.cli.verbs.streams import choose
from penstock_testing.controller_command import ControllerCommand
from penstock_testing.fake_admin import FakeAdmin


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


@pytest.mark.parametrize("column", ["age", "silent", "in", "out"])
def test_streams_are_sorted_by_number_not_by_text(
    fake_admin: FakeAdmin, controller: ControllerCommand, column: str
) -> None:
    large = stream("large", age=Duration(seconds=36_000), silent_for=Duration(seconds=20_000))
    small = stream("small", age=Duration(seconds=9), silent_for=Duration(seconds=7), bytes_in=9, bytes_out=9)
    fake_admin.answer("ListStreams", admin_pb2.ListStreamsResponse(streams=[large, small], matching=2))

    lines = controller("streams", "--sort-by", column, "--no-headers").out.splitlines()

    assert [line.split()[0] for line in lines] == ["small", "large"]


def test_a_column_that_does_not_exist_is_bad_usage(controller: ControllerCommand) -> None:
    assert controller("streams", "--sort-by", "colour").status == 2


def test_filters_and_limit_go_to_the_controller(fake_admin: FakeAdmin, controller: ControllerCommand) -> None:
    fake_admin.answer("ListStreams", found("e1.1", "e1.2a"))

    done = controller("streams", "--deployment", "echo", "--replica", "x7k2q", "--limit", "20")

    assert done.status == 0
    assert fake_admin.requests["ListStreams"] == [
        admin_pb2.ListStreamsRequest(deployment="echo", replica="x7k2q", limit=20)
    ]


def test_json_has_numbers_and_null_for_what_is_not_known(fake_admin: FakeAdmin, controller: ControllerCommand) -> None:
    odd = stream("e1.2a", transport="grpc", client="", age=Duration(seconds=5), bytes_in=9, bytes_out=0)
    fake_admin.answer("ListStreams", admin_pb2.ListStreamsResponse(streams=[stream("e1.1"), odd], matching=2))

    document = controller("streams", "-o", "json").json()

    assert (document["apiVersion"], document["kind"], document["matching"]) == ("penstock/v1", "Streams", 2)
    assert document["streams"][1] == {
        "id": "e1.2a",
        "deployment_id": "echo-1a2b3c4d",
        "replica_id": "echo-1a2b3c4d-x7k2q",
        "edge_id": "edge-b7f0d095",
        "transport": "grpc",
        "client": None,
        "age": 5.0,
        "silent_for": 0.4,
        "bytes": {"in": 9, "out": 0},
        "messages": {"in": 17, "out": 40000},
    }


def test_an_edge_that_is_silent_is_told_and_ends_with_one(fake_admin: FakeAdmin, controller: ControllerCommand) -> None:
    fake_admin.answer("ListStreams", found("a", silent=("edge-1", "edge-2")))

    done = controller("streams")

    assert done.status == 1
    assert [line.split(":")[1] for line in done.err.splitlines()] == [
        " edge edge-1 did not answer in time",
        " edge edge-2 did not answer in time",
    ]
    assert "edge" not in done.out.splitlines()[-1]


def test_one_named_stream_is_closed_without_a_question(fake_admin: FakeAdmin, controller: ControllerCommand) -> None:
    fake_admin.answer("ListStreams", found("e1.1", "e1.2a"))
    fake_admin.answer("CloseStreams", admin_pb2.CloseStreamsResponse(closed=["e1.2a"]))

    done = controller("streams", "close", "e1.2", "--code", "4000", "--reason", "größer")

    assert (done.status, done.out, done.err) == (0, "closed 1 stream with 4000\n", "")
    assert fake_admin.requests["CloseStreams"] == [
        admin_pb2.CloseStreamsRequest(stream_ids=["e1.2a"], close_code=4000, reason="größer")
    ]


def test_several_streams_are_not_closed_without_a_terminal_or_yes(
    fake_admin: FakeAdmin, controller: ControllerCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    fake_admin.answer("ListStreams", found("a", "b"))
    fake_admin.answer("CloseStreams", admin_pb2.CloseStreamsResponse(closed=["a", "b"]))

    refused = controller("streams", "close", "--deployment", "echo")

    assert refused.status == 1
    assert "2 streams will be ended with 1012." in refused.err and "--yes" in refused.err
    assert fake_admin.requests["CloseStreams"] == []
    assert fake_admin.requests["ListStreams"][0].deployment == "echo"
    assert controller("streams", "close", "--deployment", "echo", "--yes").out == "closed 2 streams with 1012\n"


def test_the_question_shows_the_streams(
    fake_admin: FakeAdmin, controller: ControllerCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    fake_admin.answer("ListStreams", found("s1", "s2"))

    lines = controller("streams", "close", "--deployment", "echo").err.splitlines()

    assert [line.split()[0] for line in lines] == ["STREAM", "s1", "s2", "controller:"]


def test_dry_run_shows_the_streams_and_closes_none(fake_admin: FakeAdmin, controller: ControllerCommand) -> None:
    fake_admin.answer("ListStreams", found("a", "b"))

    done = controller("streams", "close", "a", "--dry-run")

    assert done.status == 0
    assert [line.split()[0] for line in done.out.splitlines()] == ["STREAM", "a", "1"]
    assert done.out.endswith("\n1 stream would be ended with 1012\n")
    assert fake_admin.requests["CloseStreams"] == []


def test_a_stream_that_is_not_open_ends_with_four_and_the_others_are_closed(
    fake_admin: FakeAdmin, controller: ControllerCommand
) -> None:
    fake_admin.answer("ListStreams", found("a"))
    fake_admin.answer("CloseStreams", admin_pb2.CloseStreamsResponse(closed=["a"]))

    done = controller("streams", "close", "a", "zzz")

    assert (done.status, done.out) == (4, "closed 1 stream with 1012\n")
    assert done.err == "controller: no open stream 'zzz'; see: controller streams\n"
    assert controller("streams", "close", "zzz").out == "no stream was closed\n"


def test_what_happens_between_the_list_and_the_close_is_told(
    fake_admin: FakeAdmin, controller: ControllerCommand
) -> None:
    fake_admin.answer("ListStreams", found("a", "b", matching=12))
    answer = admin_pb2.CloseStreamsResponse(closed=["a"], unknown=["b"], silent_edges=["edge-9"])
    fake_admin.answer("CloseStreams", answer)

    done = controller("streams", "close", "--replica", "x7k2q", "-y")

    assert done.status == 1
    assert done.err.splitlines() == [
        "1 stream had ended before",
        "10 more streams matched: run it again",
        "controller: edge edge-9 did not answer in time: what it closed is not known",
    ]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["close"], "name the streams to close"),
        (["close", "a", "--deployment", "echo"], "name the streams to close"),
        (["close", "a", "--code", "1005"], "must be 1000, 1001"),
        (["close", "a", "--code", "5000"], "3000 to 4999"),
        (["close", "a", "--code", "x"], "3000 to 4999"),
        (["close", "a", "--reason", "ö" * 62], "at most 123 bytes of UTF-8, got 124"),
        (["close", "a", "--reason", "\udcff"], "bytes of UTF-8"),
        (["--limit", "0"], "whole number from 1 to 10000"),
        (["--limit", "10001"], "whole number from 1 to 10000"),
    ],
)
def test_bad_usage_is_told_before_anything_is_asked(
    fake_admin: FakeAdmin, controller: ControllerCommand, arguments: list[str], complaint: str
) -> None:
    done = controller("streams", *arguments)

    assert (done.status, done.out) == (2, "")
    assert complaint in done.err
    assert fake_admin.requests == {}


def test_options_of_the_list_hold_for_closing(fake_admin: FakeAdmin, controller: ControllerCommand) -> None:
    fake_admin.answer("ListStreams", found("a"))

    controller("streams", "--deployment", "echo", "close", "--dry-run")

    assert fake_admin.requests["ListStreams"][0].deployment == "echo"


def test_a_beginning_must_fit_one_stream() -> None:
    with pytest.raises(
        CommandError, match=r"'e1' is the beginning of 4 streams: e1\.1, e1\.2, e1\.3, \.\.\."
    ) as raised:
        choose(["e1"], found("e1.1", "e1.2", "e1.3", "e1.4", "e2"))
    assert raised.value.status == 2


def test_a_whole_id_is_no_beginning_of_a_longer_one() -> None:
    chosen, unknown = choose(["e1", "e1"], found("e1", "e12"))

    assert ([s.stream_id for s in chosen], unknown) == (["e1"], [])


def test_an_id_that_the_list_may_lack_is_left_to_the_edges() -> None:
    chosen, unknown = choose(["zzz"], found("a", matching=20_000))

    assert ([s.stream_id for s in chosen], unknown) == (["zzz"], [])
    assert choose([""], found("a")) == ([], [""])
