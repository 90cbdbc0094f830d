"""Settings of the whole suite."""

from __future__ import annotations

import importlib
import os
import shutil
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# The time of one example says nothing on a busy machine; the timeout per test bounds it instead.
settings.register_profile("local", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# The same examples on every run: a build turns red because of a change, not because of the dice.
settings.register_profile("ci", settings.get_profile("local"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")

# Tests start processes by the hundred: what the first has compiled, the others are to find.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if shutil.which("nvidia-smi"):
        return
    skip = pytest.mark.skip(reason="no NVIDIA GPU on this machine")
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(skip)


ONE_PLATFORM = ("tests/conformance/clients/", "tests/conformance/truss/", "tests/integration/adversarial/")
"""Folders whose files share a platform: run by several workers, they would start it several times."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Has `--dist loadfile` leave each folder of ONE_PLATFORM to one worker, as it does with each file."""
    if config.getvalue("dist") != "loadfile":
        return None
    scheduling = importlib.import_module("xdist.scheduler").LoadFileScheduling(config, log)
    file_of = scheduling._split_scope

    def folder_or_file_of(nodeid: str) -> str:
        return next((folder for folder in ONE_PLATFORM if nodeid.startswith(folder)), None) or str(file_of(nodeid))

    scheduling._split_scope = folder_or_file_of
    return scheduling
