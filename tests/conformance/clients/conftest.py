"""One platform with the examples for all tests of this folder, and the npm packages."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock_testing.platform import Platform, running_platform

HERE = Path(__file__).parent
PACKAGES = ("ws@8.18.3", "wscat@6.1.0")
INSTALL_SECONDS = 100


@pytest.fixture(scope="session")
def platform() -> Iterator[Platform]:
    with running_platform(["examples/echo", "examples/voice_activity", HERE / "closing_model"]) as running:
        yield running


@pytest.fixture(scope="session")
def npm_folder() -> Path:
    """A folder with PACKAGES in its node_modules, kept beside the virtual environment between runs."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("npm was not found")
    folder = Path(sys.prefix) / "npm-clients"
    folder.mkdir(exist_ok=True)
    stamp = folder / "installed"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != " ".join(PACKAGES):
            command = [npm, "install", "--silent", "--no-audit", "--no-fund", "--no-save", "--prefix", str(folder)]
            try:
                done = subprocess.run(
                    [*command, *PACKAGES], capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False
                )
            except subprocess.TimeoutExpired:
                pytest.skip(f"npm could not install {' '.join(PACKAGES)} within {INSTALL_SECONDS} s")
            if done.returncode:
                pytest.skip(f"npm could not install {' '.join(PACKAGES)}: {done.stderr.strip()[-200:]}")
            stamp.write_text(" ".join(PACKAGES))
    return folder
