"""pyright says of user code what mypy says: it accepts chains, and finds each mistake that is marked as one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import penstock
from penstock_testing.npm_packages import NpmError, install_packages

SNIPPETS = Path(__file__).parents[2] / "typing" / "chains_api.py"
PYRIGHT = "pyright@1.1.414"


@pytest.fixture(scope="session")
def pyright() -> Path:
    """The program, kept beside the virtual environment between runs."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("npm was not found")
    folder = Path(sys.prefix) / "npm-pyright"
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", f"process {os.getpid()}")  # the same for all workers
    try:
        install_packages(npm, [PYRIGHT], folder, run=run)
    except NpmError as error:
        pytest.skip(str(error))
    return folder / "node_modules" / ".bin" / "pyright"


def test_pyright_agrees(pyright: Path, tmp_path: Path) -> None:
    project = tmp_path / "pyrightconfig.json"
    settings = {
        "include": ["."],
        "typeCheckingMode": "standard",
        "reportUnnecessaryTypeIgnoreComment": True,
        "extraPaths": [str(Path(penstock.__file__).parents[1])],
        "pythonVersion": f"{sys.version_info.major}.{sys.version_info.minor}",
    }
    project.write_text(json.dumps(settings))
    # A mistake of which nothing must remain unseen, and an ignore that is needed by nothing.
    extra = "\n\nnumber: int = 'one'\nanother: int = 2  # type: ignore\n"
    text = SNIPPETS.read_text()
    (tmp_path / "chains_api.py").write_text(text + extra)
    command = [str(pyright), "--project", str(project), "--pythonpath", sys.executable, "--outputjson"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    found = json.loads(ran.stdout)["generalDiagnostics"]
    line = text.count("\n") + 2  # of `number`, from 0 as pyright counts
    assert [(each["range"]["start"]["line"], each.get("rule")) for each in found] == [
        (line, "reportAssignmentType"),
        (line + 1, "reportUnnecessaryTypeIgnoreComment"),
    ], ran.stdout
