from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.cli.main import main

MakeModel = Callable[..., Path]
Capture = pytest.CaptureFixture[str]

REPORT = """
import json, os, sys
import helper
from model import model
print(json.dumps([os.getcwd(), os.environ["COLOUR"], os.environ.get("TRUSS_SECRET_key"), helper.VALUE, sys.argv[1:]]))
sys.exit(7)
"""


@pytest.fixture(autouse=True)
def state_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_STATE_DIR", str(tmp_path / "state"))


def test_a_script_has_what_the_model_has(make_model: MakeModel, tmp_path: Path, capfd: Capture) -> None:
    folder = make_model("model_name: m\nenvironment_variables: {COLOUR: red}\nsecrets: {key: default, other: null}\n")
    (folder / "packages").mkdir()
    (folder / "packages" / "helper.py").write_text("VALUE = 5\n")
    script = tmp_path / "report.py"
    script.write_text(REPORT)
    assert main(["run-python", str(script), "--dir", str(folder), "a", "--b"]) == 7
    assert capfd.readouterr().out == f'["{folder}", "red", "default", 5, ["a", "--b"]]\n'


def test_the_environment_decides_on_secrets_first(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    monkeypatch.setenv("TRUSS_SECRET_key", "mine")
    folder = make_model("model_name: m\nsecrets: {key: default}\n")
    code = "import os; print(os.environ['TRUSS_SECRET_key'])"
    assert main(["run-python", "--dir", str(folder), "--", "-c", code]) == 0
    assert capfd.readouterr().out == "mine\n"


def test_the_end_by_a_signal_is_that_of_a_shell(make_model: MakeModel) -> None:
    code = "import os; os.kill(os.getpid(), 15)"
    assert main(["run-python", "--dir", str(make_model()), "--", "-c", code]) == 143


@pytest.mark.parametrize(
    ("words", "text"),
    [(["--dir", "."], "give a script"), (["no.py"], "there is no script"), ([sys.executable], "config.yaml")],
)
def test_wrong_use_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, words: list[str], text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["run-python", *words]) == 2
    assert text in capsys.readouterr().err
