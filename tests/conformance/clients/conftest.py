"""One platform with the examples for all tests of this folder, and the npm packages."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock_testing.npm_packages import NpmError, install_packages
from penstock_testing.platform import Platform, running_platform

HERE = Path(__file__).parent
PACKAGES = ("ws@8.18.3", "wscat@6.1.0")


@pytest.fixture(scope="package")
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
    # The same for all workers of pytest-xdist.
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", f"process {os.getpid()}")
    try:
        install_packages(npm, PACKAGES, folder, run=run)
    except NpmError as error:
        pytest.skip(str(error))
    return folder
