from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from penstock.preparation.errors import PreparationError
from penstock.preparation.interpreters import find_all
from penstock.preparation.platform_python import PlatformPython, this_python
from penstock.preparation.virtual_environment import VirtualEnvironment


@pytest.fixture
def platform() -> PlatformPython:
    return this_python()


@pytest.fixture
def environment(tmp_path: Path, platform: PlatformPython) -> VirtualEnvironment:
    made = VirtualEnvironment(tmp_path / "env", platform.minor)
    made.create(platform.executable)
    return made


def put_behind(environment: VirtualEnvironment, platform: PlatformPython) -> None:
    environment.put_behind([*platform.site_folders, *platform.source_roots])


def add_distribution(environment: VirtualEnvironment, name: str, version: str, code: str) -> None:
    (environment.site_packages / f"{name}.py").write_text(code)
    info = environment.site_packages / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def output(environment: VirtualEnvironment, code: str) -> str:
    command = [str(environment.python), "-P", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd="/").stdout.strip()


def test_a_new_environment_has_nothing_of_the_platform(environment: VirtualEnvironment) -> None:
    code = "import importlib.util as u; print(u.find_spec('grpc'), u.find_spec('penstock'), u.find_spec('pip'))"

    assert output(environment, code) == "None None None"


def test_the_platform_stands_behind_what_is_installed(
    environment: VirtualEnvironment, platform: PlatformPython
) -> None:
    put_behind(environment, platform)
    add_distribution(environment, "structlog", "0.1", "WHO = 'the user'")

    assert output(environment, "import structlog, penstock_runner, grpc; print(structlog.WHO)") == "the user"
    assert output(environment, "from importlib.metadata import version; print(version('structlog'))") == "0.1"


def test_what_a_runner_needs_is_found_to_work(environment: VirtualEnvironment, platform: PlatformPython) -> None:
    put_behind(environment, platform)

    assert environment.check(platform, os.environ) is None


def test_a_version_that_breaks_penstock_is_named(environment: VirtualEnvironment, platform: PlatformPython) -> None:
    put_behind(environment, platform)
    add_distribution(environment, "structlog", "0.1", "")
    add_distribution(environment, "six", "1.0", "")

    broken = environment.check(platform, os.environ)

    assert broken is not None
    assert "structlog" in broken.error
    assert broken.culprits[0].startswith("structlog 0.1 (Penstock needs structlog>=")


def test_a_package_that_ends_the_interpreter_is_a_failure_too(
    environment: VirtualEnvironment, platform: PlatformPython
) -> None:
    put_behind(environment, platform)
    add_distribution(environment, "structlog", "0.1", "import os; os._exit(0)")

    broken = environment.check(platform, os.environ)

    assert broken is not None
    assert "did not answer" in broken.error


def test_an_environment_in_front_sees_all_that_the_one_behind_sees(
    environment: VirtualEnvironment, platform: PlatformPython, tmp_path: Path
) -> None:
    put_behind(environment, platform)
    add_distribution(environment, "tool", "1.0", "WHO = 'behind'")
    add_distribution(environment, "other", "1.0", "WHO = 'behind'")
    (tmp_path / "editable").mkdir()
    (tmp_path / "editable" / "linked.py").write_text("")
    (environment.site_packages / "linked.pth").write_text(f"{tmp_path / 'editable'}\n")
    program = environment.folder / "bin" / "tool"
    program.write_text("#!/bin/sh\necho run\n")
    program.chmod(0o755)
    front = VirtualEnvironment(tmp_path / "front", platform.minor)
    front.create(platform.executable)

    front.put_environment_behind(environment)
    add_distribution(front, "tool", "2.0", "WHO = 'front'")

    code = "import tool, other, linked, penstock_runner; print(tool.WHO, other.WHO)"
    assert output(front, code) == "front behind"
    assert front.check(platform, os.environ) is None
    assert subprocess.run([front.folder / "bin" / "tool"], capture_output=True, check=True).stdout == b"run\n"


def test_the_pip_command_installs_into_the_environment(
    environment: VirtualEnvironment, platform: PlatformPython
) -> None:
    environment.write_pip(platform)

    done = subprocess.run([environment.folder / "bin" / "pip", "list"], capture_output=True, text=True, check=True)

    assert "grpcio" not in done.stdout


def test_a_pip_of_the_users_own_stays(environment: VirtualEnvironment, platform: PlatformPython) -> None:
    (environment.folder / "bin" / "pip").write_text("theirs")

    environment.write_pip(platform)

    assert (environment.folder / "bin" / "pip").read_text() == "theirs"
    assert (environment.folder / "bin" / "pip3").exists()


def test_an_environment_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PreparationError, match="cannot make an environment"):
        VirtualEnvironment(tmp_path / "env", "3.11").create("/bin/false")
    with pytest.raises(PreparationError, match="cannot make an environment"):
        VirtualEnvironment(tmp_path / "env", "3.11").create("/nowhere/python")


def test_penstock_itself_is_linked_into_an_environment_of_another_python(
    tmp_path: Path, platform: PlatformPython
) -> None:
    others = find_all(os.environ, lowest_minor=platform.lowest_minor, but=platform.minor)
    if not others:
        pytest.skip("needs a second Python")  # nothing can stand in for another interpreter
    minor = ".".join(others[0].version.split(".")[:2])
    environment = VirtualEnvironment(tmp_path / "env", minor)
    environment.create(others[0].path)

    environment.link_penstock(platform)

    code = "import penstock, penstock_runner, importlib.metadata as m, sys; print(m.version('penstock'), *sys.path)"
    version, *path = output(environment, code).split(" ")
    assert version == "0.1.0"
    assert not set(path) & set(platform.site_folders)


def test_an_installed_penstock_is_linked_package_by_package(tmp_path: Path, platform: PlatformPython) -> None:
    site = tmp_path / "platform" / "site-packages"
    for name in ("penstock", "penstock_runner", "grpc"):
        (site / name).mkdir(parents=True)
    environment = VirtualEnvironment(tmp_path / "env", platform.minor)
    environment.site_packages.mkdir(parents=True)

    environment.link_penstock(replace(platform, site_folders=(str(site),), source_roots=()))

    linked = {path.name for path in environment.site_packages.iterdir() if path.is_symlink()}
    assert linked == {"penstock", "penstock_runner", Path(platform.metadata_folder).name}
