"""What does not need processes; the rest is in tests/integration/up."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

from penstock.cli.up.command import EXIT_FAILED, EXIT_INTERRUPTED, Programs, run_up
from penstock.cli.up.host_port import HostPort
from penstock.cli.up.options import ModelSource, UpOptions


def options(folder: Path, listen: HostPort, grpc_listen: HostPort | None = None) -> UpOptions:
    return UpOptions(
        models=(ModelSource("echo", folder),),
        listen=listen,
        grpc_listen=grpc_listen,
        grpc_listen_is_default=False,
        replicas=1,
        state_dir=folder,
        ready_file=folder / "ready.json",
        drain_timeout_s=1.0,
    )


def no_program(*_: object) -> list[str]:
    raise AssertionError("nothing is to be started")


NOTHING = Programs(no_program, no_program)


def test_port_in_use_is_told_before_anything_is_started(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = HostPort("127.0.0.1", taken.getsockname()[1])
        assert run_up(options(tmp_path, address), NOTHING) == EXIT_FAILED
        assert run_up(options(tmp_path, HostPort("127.0.0.1", 0), address), NOTHING) == EXIT_FAILED
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith("address already in use; choose another address with --listen")
    assert second.endswith("address already in use; choose another address with --grpc-listen")


def test_ready_file_of_an_earlier_call_is_removed(tmp_path: Path) -> None:
    (tmp_path / "ready.json").write_text("{}")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        run_up(options(tmp_path, HostPort("127.0.0.1", taken.getsockname()[1])), NOTHING)
    assert not (tmp_path / "ready.json").exists()


def test_signal_handlers_are_given_back(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        run_up(options(tmp_path, HostPort("127.0.0.1", taken.getsockname()[1])), NOTHING)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_interrupt_before_the_controller_listens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupting(_state_dir: Path, _lifeline_fd: int) -> list[str]:
        os.kill(os.getpid(), signal.SIGINT)
        return ["sleep", "600"]

    programs = Programs(interrupting, no_program)
    assert run_up(options(tmp_path, HostPort("127.0.0.1", 0)), programs) == EXIT_INTERRUPTED
    assert capsys.readouterr().err == ""
