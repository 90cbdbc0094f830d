from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from penstock.cli.main import build_parser
from penstock.cli.up import arguments, command
from penstock.cli.up.options import UpOptions


def test_every_option_reaches_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tmp_path / "echo"
    model.mkdir()
    (model / "config.yaml").write_text("")
    taken: list[UpOptions] = []

    def run_up(options: UpOptions) -> int:
        taken.append(options)
        return 7

    monkeypatch.setattr(command, "run_up", run_up)
    parsed = build_parser().parse_args(
        [
            "up",
            str(model),
            "--listen=127.0.0.1:1",
            "--grpc-listen=127.0.0.1:2",
            "--replicas=3",
            f"--state-dir={tmp_path / 'state'}",
            f"--ready-file={tmp_path / 'ready.json'}",
            "--drain-timeout=4.5",
        ]
    )
    assert parsed.run is arguments.run
    assert parsed.run(parsed) == 7
    (options,) = taken
    assert str(options.listen) == "127.0.0.1:1"
    assert str(options.grpc_listen) == "127.0.0.1:2"
    assert not options.grpc_listen_is_default
    assert (options.replicas, options.drain_timeout_s) == (3, 4.5)
    assert options.state_dir == tmp_path / "state"
    assert options.ready_file == tmp_path / "ready.json"
    assert [item.directory for item in options.models] == [model.resolve()]


def test_wrong_use_is_told_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    parsed: Any = build_parser().parse_args(["up", "--replicas=-1"])
    assert parsed.run(parsed) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("penstock up: --replicas: ")


def test_help_documents_the_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(["up", "--help"])
    out = capsys.readouterr().out
    for word in ("--ready-file", "--drain-timeout", "130", "PENSTOCK_STATE_DIR"):
        assert word in out
