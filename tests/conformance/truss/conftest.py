"""One platform with every model of tests/conformance/models for all tests of this folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from penstock_testing.platform import Platform, running_platform
from penstock_testing.truss_conformance import GrpcDoor, ModelDoor, model_folders

OpenDoor = Callable[[str], ModelDoor]

APART = {"slow_load", "hot_reload"}
"""Models that a test starts itself: one loads as long as the test wants, one is changed while it runs."""


@pytest.fixture(scope="package")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRUSS_SECRET_from_environment", "swordfish")
        patch.setenv("TRUSS_SECRET_both", "from the environment")
        folders = [folder for folder in model_folders() if folder.name not in APART]
        with running_platform(folders) as running:
            yield running


@pytest.fixture(scope="package")
def door(platform: Platform) -> OpenDoor:
    """Gives the HTTP address of a model."""
    address = platform.http.removeprefix("http://")
    return lambda model: ModelDoor(address, model)


@pytest.fixture(scope="package")
def grpc_door(platform: Platform) -> Callable[[str], GrpcDoor]:
    """Gives the gRPC address of a model."""
    return lambda model: GrpcDoor(platform, model)


@pytest.fixture
def copied_model(tmp_path: Path) -> Callable[[str], Path]:
    """Copies a model to where a test may change it."""

    def copy(name: str) -> Path:
        source = next(folder for folder in model_folders() if folder.name == name)
        return Path(shutil.copytree(source, tmp_path / name))

    return copy
