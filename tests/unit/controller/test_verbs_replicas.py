from __future__ import annotations

import io

import pytest
from google.protobuf.duration_pb2 import Duration

from penstock.api.control.v1 import admin_pb2
from penstock_testing.controller_command import ControllerCommand
from penstock_testing.fake_admin import FakeAdmin


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def changed(*streams: int, outcome: str = "drains") -> admin_pb2.ChangeReplicasResponse:
    return admin_pb2.ChangeReplicasResponse(
        replicas=[
            admin_pb2.ChangedReplica(
                replica_id=f"echo-1a2b3c4d-{place}",
                deployment_id="echo-1a2b3c4d",
                active_streams=count,
                outcome=outcome,
            )
            for place, count in enumerate(streams)
        ]
    )


@pytest.mark.parametrize(
    ("command", "change"),
    [
        ("drain", admin_pb2.REPLICA_CHANGE_DRAIN),
        ("undrain", admin_pb2.REPLICA_CHANGE_UNDRAIN),
        ("cordon", admin_pb2.REPLICA_CHANGE_CORDON),
        ("uncordon", admin_pb2.REPLICA_CHANGE_UNCORDON),
    ],
)
def test_each_replica_is_shown_with_its_streams(
    fake_admin: FakeAdmin, controller: ControllerCommand, command: str, change: admin_pb2.ReplicaChange.ValueType
) -> None:
    fake_admin.answer("ChangeReplicas", changed(3, 12, outcome="done"))

    done = controller(command, "echo", "x7k2q")

    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines() == [
        "REPLICA          DEPLOYMENT     STREAMS  OUTCOME",
        "echo-1a2b3c4d-0  echo-1a2b3c4d        3  done",
        "echo-1a2b3c4d-1  echo-1a2b3c4d       12  done",
    ]
    assert fake_admin.requests["ChangeReplicas"] == [
        admin_pb2.ChangeReplicasRequest(change=change, replicas=["echo", "x7k2q"])
    ]


def test_dry_run_is_asked_for_and_said(fake_admin: FakeAdmin, controller: ControllerCommand) -> None:
    fake_admin.answer("ChangeReplicas", changed(3, outcome="would drain"))

    done = controller("drain", "echo", "--grace", "10m", "--dry-run")

    assert done.status == 0
    assert done.err == "nothing was done (--dry-run)\n"
    assert fake_admin.requests["ChangeReplicas"] == [
        admin_pb2.ChangeReplicasRequest(
            change=admin_pb2.REPLICA_CHANGE_DRAIN, replicas=["echo"], grace=Duration(seconds=600), dry_run=True
        )
    ]


def test_a_drain_that_may_cut_streams_asks_first(
    fake_admin: FakeAdmin, controller: ControllerCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_admin.answer("ChangeReplicas", changed(30, 11, 0))
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))

    done = controller("drain", "echo", "--grace", "60")

    assert done.status == 0
    assert "3 replicas, 41 streams; those left after 60 s are ended with 1012. Continue? [y/N]" in done.err
    assert [request.dry_run for request in fake_admin.requests["ChangeReplicas"]] == [True, False]


def test_a_no_drains_nothing(
    fake_admin: FakeAdmin, controller: ControllerCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_admin.answer("ChangeReplicas", changed(1))
    monkeypatch.setattr("sys.stdin", Terminal("n\n"))

    done = controller("drain", "echo", "--grace", "0")

    assert (done.status, done.out) == (1, "")
    assert "1 replica, 1 stream; they are ended with 1012." in done.err
    assert "controller: nothing was done" in done.err
    assert [request.dry_run for request in fake_admin.requests["ChangeReplicas"]] == [True]


def test_without_a_terminal_it_needs_yes(
    fake_admin: FakeAdmin, controller: ControllerCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_admin.answer("ChangeReplicas", changed(1))
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))

    assert controller("drain", "echo", "--grace", "60").status == 1
    assert [request.dry_run for request in fake_admin.requests["ChangeReplicas"]] == [True]
    assert controller("drain", "echo", "--grace", "60", "--yes").status == 0
    assert fake_admin.requests["ChangeReplicas"][-1].dry_run is False


@pytest.mark.parametrize("arguments", [[], ["--grace", "60"]])
def test_a_drain_that_cuts_nothing_asks_nothing(
    fake_admin: FakeAdmin, controller: ControllerCommand, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    fake_admin.answer("ChangeReplicas", changed(0))
    monkeypatch.setattr("sys.stdin", io.StringIO())

    assert controller("drain", "echo", *arguments).status == 0
    assert fake_admin.requests["ChangeReplicas"][-1].dry_run is False


def test_no_replica_is_said(fake_admin: FakeAdmin, controller: ControllerCommand) -> None:
    fake_admin.answer("ChangeReplicas", changed())

    assert controller("cordon", "echo").out == "no replica\n"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["drain"], "REPLICA"),
        (["drain", "a", "--grace", "8d"], "0 to 604800 s"),
        (["cordon", "a", "--grace", "60"], "unrecognized arguments: --grace 60"),
        (["cordon", *"a" * 1001], "at most 1000"),
    ],
)
def test_bad_usage_is_told(
    fake_admin: FakeAdmin, controller: ControllerCommand, arguments: list[str], complaint: str
) -> None:
    done = controller(*arguments)

    assert done.status == 2
    assert complaint in done.err
    assert fake_admin.requests == {}
