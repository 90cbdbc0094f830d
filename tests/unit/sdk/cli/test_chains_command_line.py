from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.cli.main import main

Parse = Callable[..., argparse.Namespace]


def test_a_push_names_file_and_entrypoint(parse: Parse) -> None:
    found = parse("chains", "push", "a.py", "Entry", "--name", "My Chain", "--no-wait", "--no-promote")
    assert (found.file, found.entrypoint, found.name) == (Path("a.py"), "Entry", "My Chain")
    assert (found.wait, found.promote, found.environment, found.dryrun) == (False, False, "", False)


def test_a_watch_serves_development(parse: Parse) -> None:
    assert parse("chains", "watch", "a.py").environment == "development"


def test_what_stands_behind_a_file_that_runs_is_its_own(parse: Parse) -> None:
    assert parse("chains", "run", "a.py", "--name", "x", "-v").words == ["a.py", "--name", "x", "-v"]


@pytest.mark.parametrize("words", [["push"], ["push", "a.py", "--timeout", "0"], ["watch"], ["what"]])
def test_wrong_use_is_refused(parse: Parse, words: list[str]) -> None:
    with pytest.raises(SystemExit) as failed:
        parse("chains", *words)
    assert failed.value.code == 2


def test_no_command_shows_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chains"]) == 0
    assert "penstock chains push hello/my_chain.py" in capsys.readouterr().out
