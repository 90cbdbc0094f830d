from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from penstock.chains.generating import main

pytestmark = pytest.mark.usefixtures("fresh_registry", "clean_imports")

ONE = """\
import truss_chains as chains


class Alone(chains.ChainletBase):
    async def run_remote(self, x: int) -> int:
        return x
"""


def generate(tmp_path: Path, source: str, *arguments: str) -> dict[str, Any]:
    file = tmp_path / "work" / "one_chain.py"
    file.parent.mkdir(exist_ok=True)
    file.write_text(source)
    result = tmp_path / "result"
    status = main([str(file), f"--folder={tmp_path / 'made'}", f"--result={result}", *arguments])
    content: dict[str, Any] = json.loads(result.read_text())
    assert status == (1 if "error" in content else 0)
    return content


def test_what_was_made_is_told(tmp_path: Path) -> None:
    found = generate(tmp_path, ONE)
    assert found["name"] == "alone"
    (chainlet,) = found["chainlets"]
    assert (chainlet["display_name"], chainlet["is_entrypoint"], chainlet["kind"]) == ("Alone", True, "unary")
    assert chainlet["directory"] == str(tmp_path / "made" / "chainlet_Alone")
    assert "config.yaml" in chainlet["changed"]


def test_a_given_name_wins(tmp_path: Path) -> None:
    assert generate(tmp_path, ONE, "--name=My Name")["name"] == "my-name"


def test_rules_that_are_broken_are_told(tmp_path: Path) -> None:
    error = generate(tmp_path, ONE.replace(" -> int", "").replace("x: int", "x"))["error"]
    assert error.count("[kind: ") == 2


def test_what_the_file_raises_is_told_from_its_own_frames_on(tmp_path: Path) -> None:
    error = generate(tmp_path, "def f():\n    raise KeyError(3)\n\n\nf()\n")["error"]
    lines = error.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1].endswith('one_chain.py", line 5, in <module>')
    assert lines[-1] == "KeyError: 3"


def test_a_mistake_in_the_syntax_is_told_without_our_frames(tmp_path: Path) -> None:
    error = generate(tmp_path, "x = (\n")["error"]
    assert "one_chain.py" in error
    assert "penstock" not in error
    assert error.splitlines()[-1] == "SyntaxError: '(' was never closed"


def test_a_missing_package_comes_with_advice(tmp_path: Path) -> None:
    error = generate(tmp_path, "import no_such_package\n")["error"]
    assert error.splitlines()[-1].startswith("no_such_package is not installed where the chain is generated.")


def test_a_file_that_ends_the_process_is_no_chain(tmp_path: Path) -> None:
    assert generate(tmp_path, "import sys\nsys.exit(3)\n")["error"].splitlines()[-1] == "SystemExit: 3"
