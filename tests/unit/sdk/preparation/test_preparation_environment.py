"""The whole way to an environment, with a `uv` that only notes what it is asked for."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from penstock.preparation import virtual_environment
from penstock.preparation.environment import Environment, build_environment
from penstock.preparation.errors import PreparationError
from penstock.preparation.platform_python import PlatformPython, installed_version, this_python
from penstock.truss import parse_config

UV = """#!/bin/sh
echo "$@" >> {folder}/calls
call=$(wc -l < {folder}/calls)
site=$(dirname $4)/../lib/python{minor}/site-packages
echo "V = $call" > $site/installed.py
{script}
"""


class Builder:
    """Builds environments of one cache, for one model folder."""

    def __init__(self, folder: Path) -> None:
        self.platform: PlatformPython = this_python()
        self.reported: list[str] = []
        self.model_dir = folder / "model"
        self.model_dir.mkdir()
        self._folder = folder
        self.environ = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "PENSTOCK_INSTALLER": "uv"}
        self.uv("")

    def uv(self, script: str) -> None:
        path = self._folder / "bin" / "uv"
        path.parent.mkdir(exist_ok=True)
        path.write_text(UV.format(folder=self._folder, minor=self.platform.minor, script=script))
        path.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        path = self._folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def build(self, config: str, before_commands: Callable[[], object] = lambda: None) -> Environment:
        self.reported.clear()
        return build_environment(
            parse_config(config.encode(), name_default="m"),
            self.model_dir,
            self._folder / "cache",
            self.reported.append,
            before_commands=before_commands,
            environ=self.environ,
            platform=self.platform,
        )


@pytest.fixture
def builder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Builder:
    # All that a runner imports takes a second for each check; tests/integration/preparation does that.
    monkeypatch.setattr(virtual_environment, "RUNNER_MODULES", ("structlog",))
    return Builder(tmp_path)


def run(environment: Environment, code: str) -> str:
    assert environment.python is not None
    command = [str(environment.python), "-P", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_a_plain_model_has_the_platforms_interpreter(builder: Builder) -> None:
    assert builder.build("") == Environment(None)
    assert builder.build("python_version: py39").problems[0].startswith("config.yaml: python_version: Penstock needs")


def test_requirements_are_installed_once_per_content(builder: Builder) -> None:
    first = builder.build("requirements: [six]")
    again = builder.build("requirements: [six]  # unchanged")
    other = builder.build("requirements: [six, idna]")

    assert run(first, "import installed, penstock_runner; print(installed.V)") == "1"
    assert again == first
    assert other.python != first.python
    assert len(builder.calls) == 2


def test_pins_that_the_platform_has_need_no_environment(builder: Builder) -> None:
    assert builder.build(f"requirements: ['grpcio=={installed_version('grpcio')}']") == Environment(None)
    assert "met by the platform" in builder.reported[0]
    assert builder.build("requirements: [grpcio]").python is not None


def test_a_failed_build_leaves_nothing_and_is_tried_again(builder: Builder, tmp_path: Path) -> None:
    builder.uv("echo 'error: six is not there'; exit 1")
    with pytest.raises(PreparationError, match="`six`: cannot be installed"):
        builder.build("requirements: [six]")
    assert not [path for path in (tmp_path / "cache" / "environments").iterdir() if path.is_dir()]

    builder.uv("")
    assert builder.build("requirements: [six]").python is not None


def test_what_a_killed_build_has_left_is_no_hindrance(builder: Builder) -> None:
    python = builder.build("requirements: [six]").python
    assert python is not None
    (python.parent.parent / "environment.json").unlink()
    (python.parent.parent / "lib").rename(python.parent.parent / "half")

    again = builder.build("requirements: [six]")

    assert run(again, "import installed; print(installed.V)") == "2"
    assert not (python.parent.parent / "half").exists()


def test_versions_that_break_penstock_are_looked_for_again_together_with_its_own(builder: Builder) -> None:
    # The first set is broken; the second, which Penstock's requirements were part of, is not.
    builder.uv("[ $call -gt 1 ] || echo 'raise ImportError' > $site/structlog.py; cp $6 $site/asked.txt")

    environment = builder.build("requirements: [six]")

    assert len(builder.calls) == 2
    assert run(environment, "import structlog, penstock_runner") == ""
    assert environment.python is not None
    asked = next(environment.python.parent.parent.glob("lib/*/site-packages/asked.txt")).read_text().splitlines()
    assert asked[0] == "six"
    assert any(line.startswith("grpcio>=") for line in asked)


def test_versions_that_cannot_go_with_penstock_end_in_its_error(builder: Builder) -> None:
    builder.uv(
        "[ $call = 1 ] || { echo 'error: no solution'; exit 1; }\n"
        "echo 'raise ImportError' > $site/structlog.py\n"
        "mkdir $site/structlog-0.1.dist-info\n"
        "printf 'Name: structlog\\nVersion: 0.1\\n' > $site/structlog-0.1.dist-info/METADATA"
    )

    with pytest.raises(PreparationError) as failed:
        builder.build("requirements: [six]")

    text = str(failed.value)
    assert "Penstock does not run with these packages: ImportError" in text
    assert "They bring structlog 0.1 (Penstock needs structlog>=" in text
    assert text.endswith("No set of versions suits both:\n  error: no solution")


def test_after_a_change_of_the_platform_an_environment_is_checked_not_built(builder: Builder, tmp_path: Path) -> None:
    site = tmp_path / "extra" / "site-packages"
    site.mkdir(parents=True)
    first = builder.build("requirements: [six]")

    builder.platform = replace(builder.platform, site_folders=(*builder.platform.site_folders, str(site)))
    assert builder.build("requirements: [six]") == first
    assert "packages have changed" in builder.reported[0]
    assert builder.build("requirements: [six]") == first
    assert "packages have changed" not in builder.reported[0]
    assert len(builder.calls) == 1


def test_a_missing_python_is_an_error_that_names_what_is_there(builder: Builder) -> None:
    builder.environ["PATH"] = "/nowhere"
    wanted = "py313" if builder.platform.minor == "3.14" else "py314"

    with pytest.raises(PreparationError, match=rf"Available: {builder.platform.version} \(Penstock's own\)"):
        builder.build(f"python_version: {wanted}")


def test_another_python_gets_penstocks_requirements_with_the_models(builder: Builder, tmp_path: Path) -> None:
    # The platform claims to be of another version, so that its own interpreter is the other one.
    minor = builder.platform.minor
    (tmp_path / "bin" / f"python{minor}").symlink_to(builder.platform.executable)
    builder.uv(f"cp $6 {tmp_path}/asked; echo {' '.join(builder.platform.site_folders)} > $site/a.pth")
    builder.platform = replace(builder.platform, version="3.99.0", lowest_minor="3.11")

    environment = builder.build(f"python_version: '{minor}'\nrequirements: [six]")

    assert (tmp_path / "asked").read_text().splitlines() == ["six", *builder.platform.needs]
    assert (
        run(environment, "import penstock_runner, sys; print(sys.version_info[:2])") == f"({minor.replace('.', ', ')})"
    )


def test_build_commands_run_once_with_what_is_installed(builder: Builder) -> None:
    config = "requirements: [six]\nbuild_commands: ['python -c \"import installed\" && echo made >> made']"
    told: list[str] = []

    first = builder.build(config, lambda: told.append("before"))
    again = builder.build(config, lambda: told.append("before"))

    assert (builder.model_dir / "made").read_text() == "made\n"
    assert again == first
    assert told == ["before", "before"]
    assert run(first, "import installed, penstock_runner; print(installed.V)") == "1"


def test_what_build_commands_install_stays_with_this_model(builder: Builder) -> None:
    site = f"$VIRTUAL_ENV/lib/python{builder.platform.minor}/site-packages"
    commands = f"requirements: [six]\nbuild_commands: ['echo > {site}/extra.py']"

    with_commands = builder.build(commands)
    without = builder.build("requirements: [six]")

    assert run(with_commands, "import extra, installed; print('both')") == "both"
    assert run(without, "import importlib.util as u; print(u.find_spec('extra'))") == "None"
    assert len(builder.calls) == 1


def test_build_commands_need_no_requirements(builder: Builder) -> None:
    environment = builder.build("build_commands: ['echo made > made']")

    assert (builder.model_dir / "made").exists()
    assert builder.calls == []
    assert run(environment, "import penstock_runner; print('runs')") == "runs"


def test_a_folder_that_was_made_anew_gets_the_build_commands_again(builder: Builder) -> None:
    config = "build_commands: ['echo made >> made']"
    first = builder.build(config)
    for path in builder.model_dir.iterdir():
        path.unlink()

    assert builder.build(config) == first
    assert (builder.model_dir / "made").read_text() == "made\n"


def test_after_a_failed_build_command_the_requirements_are_not_installed_again(builder: Builder) -> None:
    with pytest.raises(PreparationError, match="number 1 ended with status 1"):
        builder.build("requirements: [six]\nbuild_commands: ['false']")

    builder.build("requirements: [six]\nbuild_commands: ['true']")

    assert len(builder.calls) == 1


def test_a_build_command_that_breaks_penstock_is_told(builder: Builder) -> None:
    site = f"$VIRTUAL_ENV/lib/python{builder.platform.minor}/site-packages"

    with pytest.raises(PreparationError, match="build_commands: Penstock does not run"):
        builder.build(f"build_commands: ['echo broken > {site}/structlog.py']")


def test_the_cache_is_kept_within_its_bounds(builder: Builder) -> None:
    builder.environ["PENSTOCK_ENVIRONMENTS_MAX"] = "1"
    first = builder.build("requirements: [six]")
    assert first.python is not None
    record = first.python.parent.parent / "environment.json"
    os.utime(record, (1, 1))

    second = builder.build("requirements: [idna]")

    assert not first.python.exists()
    assert second.python is not None and second.python.exists()
    assert builder.reported[-1].startswith("removed the environment")
    # Just used: over the bound, but not in the way of anybody.
    third = builder.build("requirements: [h11]")
    assert second.python.exists()
    assert "more than the bound of 1" in third.problems[0]
