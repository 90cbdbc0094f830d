from __future__ import annotations

import subprocess
import sys

import pytest

from penstock.cli.main import main


def test_without_a_command_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "usage: penstock" in capsys.readouterr().out


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main(["--help"])
    assert exit_info.value.code == 0
    assert "serve models and chains on this machine" in capsys.readouterr().out


def test_unknown_command_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main(["upp"])
    assert exit_info.value.code == 2
    assert "upp" in capsys.readouterr().err


def test_version_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.startswith("penstock ")


def test_interrupt_ends_quietly(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("penstock.cli.up.arguments.resolve_options", interrupted)
    assert main(["up"]) == 130


def test_help_is_light() -> None:
    """grpc and rich take longer to import than everything else together."""
    code = (
        "import sys\nfrom penstock.cli.main import build_parser\nbuild_parser().format_help()\n"
        "sys.exit(','.join({'grpc', 'rich', 'google'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
