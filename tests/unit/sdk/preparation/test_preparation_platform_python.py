from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from penstock.preparation.platform_python import installed_version, own_requirements, this_python


def test_the_running_interpreter_is_described() -> None:
    platform = this_python()

    assert platform.executable == sys.executable
    assert platform.version.startswith(f"{platform.minor}.")
    assert any((Path(folder) / "grpc").is_dir() for folder in platform.site_folders)
    assert any(need.startswith("grpcio") for need in platform.needs)
    assert not any("pytest" in need for need in platform.needs)
    assert Path(platform.metadata_folder, "METADATA").is_file()
    assert platform.lowest_minor == "3.11"


def test_every_package_of_penstock_is_reached_by_one_of_the_folders() -> None:
    platform = this_python()

    for package in ("penstock", "penstock_runner", "penstock_edge", "penstock_controller"):
        folders = [*platform.site_folders, *platform.source_roots]
        assert any((Path(folder) / package / "__init__.py").is_file() for folder in folders)


def test_requirements_of_extras_are_not_own_ones() -> None:
    lines = [
        "grpcio>=1",
        "pytest; extra == 'dev'",
        'uvloop; sys_platform != "win32"',
        'x>1 ; python_version>"3" and extra=="a"',
    ]

    assert own_requirements(lines) == ("grpcio>=1", 'uvloop; sys_platform != "win32"')


def test_the_fingerprint_tells_another_version_of_anything(tmp_path: Path) -> None:
    platform = replace(this_python(), site_folders=(str(tmp_path), str(tmp_path / "gone")))
    (tmp_path / "a-1.0.dist-info").mkdir()
    first = platform.fingerprint()
    (tmp_path / "a.py").touch()
    assert platform.fingerprint() == first

    (tmp_path / "a-1.0.dist-info").rename(tmp_path / "a-1.1.dist-info")

    assert platform.fingerprint() != first


def test_versions_of_installed_projects_are_known() -> None:
    assert installed_version("grpcio")
    assert installed_version("no-such-project-at-all") is None
