"""`python -m penstock.preparation` with real virtual environments, real pip and packages made by hand.

No index is asked, nothing is downloaded.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from penstock.lifeline import Lifeline
from penstock.preparation import ensure_environment
from penstock.truss import load_config

RUNNER_RUNS = "import penstock_runner.server, fastapi; print('runs')"


@dataclass(frozen=True)
class Outcome:
    status: int
    lines: list[str]
    result: dict[str, Any]

    @property
    def python(self) -> str:
        assert self.status == 0, self.lines
        return str(self.result["python"])

    def run(self, code: str) -> str:
        """Runs `code` with the environment's interpreter, as runners are started."""
        command = [self.python, "-P", "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


class Workshop:
    """A folder of wheels, model folders, and one cache."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.wheels = folder / "wheels"
        self.wheels.mkdir()
        self.cache = folder / "cache"
        self.env = {
            **os.environ,
            # Neither the indexes nor the settings of this machine.
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_CACHE_DIR": "1",
            "PENSTOCK_INSTALLER": "pip",
            "PENSTOCK_PIP_ARGS": f"--no-index --find-links {self.wheels}",
        }
        self.env.pop("PIP_FIND_LINKS", None)

    def wheel(self, name: str, version: str, code: str = "", *, needs: str = "", folder: Path | None = None) -> Path:
        path = (folder or self.wheels) / f"{name}-{version}-py3-none-any.whl"
        info = f"{name}-{version}.dist-info"
        requires = f"Requires-Dist: {needs}\n" if needs else ""
        with zipfile.ZipFile(path, "w") as wheel:
            wheel.writestr(f"{name}.py", code or f"VERSION = {version!r}\n")
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}")
            wheel.writestr(
                f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
            )
            wheel.writestr(f"{info}/RECORD", "")
        return path

    def model(self, name: str, config: str) -> Path:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        (folder / "config.yaml").write_text(config)
        return folder

    def command(self, model_dir: Path) -> list[str]:
        return [
            *(sys.executable, "-P", "-m", "penstock.preparation", "--model-dir", str(model_dir)),
            *("--cache-dir", str(self.cache), "--result", str(self.result_file(model_dir))),
        ]

    def result_file(self, model_dir: Path) -> Path:
        return self.folder / f"{model_dir.name}.json"

    def start(self, model_dir: Path, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(model_dir),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**self.env, **(env or {})},
        )

    def prepare(self, model_dir: Path, env: Mapping[str, str] | None = None) -> Outcome:
        with self.start(model_dir, env) as process:
            output, _ = process.communicate(timeout=100)
        result = json.loads(self.result_file(model_dir).read_text())
        return Outcome(process.returncode, output.splitlines(), result)


Prepared = Callable[[str], Outcome]


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


@pytest.fixture
def prepared(workshop: Workshop) -> Prepared:
    """Prepares a model that has only this config.yaml."""
    return lambda config: workshop.prepare(workshop.model("model", config))


def test_a_plain_model_has_nothing_to_prepare(prepared: Prepared, workshop: Workshop) -> None:
    outcome = prepared("model_name: plain\n")

    assert (outcome.status, outcome.result, outcome.lines) == (0, {"python": "", "problems": []}, [])
    assert not workshop.cache.exists()


def test_requirements_are_installed_and_penstock_stands_behind_them(prepared: Prepared, workshop: Workshop) -> None:
    workshop.wheel("tinyone", "1.0", needs="tinytwo")
    workshop.wheel("tinytwo", "3.0")
    workshop.wheel("six", "99.0")

    outcome = prepared("requirements: [tinyone==1.0, six]\n")

    assert (
        outcome.run("import tinyone, tinytwo, six; print(tinyone.VERSION, tinytwo.VERSION, six.VERSION)")
        == "1.0 3.0 99.0"
    )
    assert outcome.run(RUNNER_RUNS) == "runs"
    assert "  Successfully installed six-99.0 tinyone-1.0 tinytwo-3.0" in outcome.lines


def test_the_users_version_goes_before_the_platforms(prepared: Prepared, workshop: Workshop) -> None:
    # A package that the platform has, too, and that Penstock's runner does not need.
    workshop.wheel("rich", "99.0", "VERSION = 'the user'")

    outcome = prepared("requirements: [rich]\n")

    assert outcome.run("import rich; print(rich.VERSION)") == "the user"


def test_the_same_content_is_built_once_for_all_models(workshop: Workshop) -> None:
    workshop.wheel("tinyone", "1.0")
    first = workshop.prepare(workshop.model("first", "requirements: [tinyone==1.0]\n"))
    started_at = time.perf_counter()
    second = workshop.prepare(workshop.model("second", "# another\nrequirements: [tinyone==1.0]\n"))

    assert second.python == first.python
    assert not any("install" in line.lower() for line in second.lines)
    assert time.perf_counter() - started_at < 30


def test_a_cached_environment_takes_no_time_worth_naming(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PIP_CONFIG_FILE", "PENSTOCK_INSTALLER", "PENSTOCK_PIP_ARGS"):
        monkeypatch.setenv(name, workshop.env[name])
    workshop.wheel("tinyone", "1.0")
    model_dir = workshop.model("model", "requirements: [tinyone]\n")
    config = load_config(model_dir)
    first = ensure_environment(config, model_dir, workshop.cache, lambda _: None)

    times = []
    for _ in range(10):
        started_at = time.thread_time()
        assert ensure_environment(config, model_dir, workshop.cache, lambda _: None) == first
        times.append(time.thread_time() - started_at)

    # Time of this thread, since other processes may keep the machine busy.
    assert min(times) < 0.05


def test_two_processes_that_want_the_same_build_it_once(workshop: Workshop) -> None:
    workshop.wheel("tinyone", "1.0")
    models = [workshop.model(f"m{number}", "requirements: [tinyone]\n") for number in range(3)]

    processes = [workshop.start(model) for model in models]
    outputs = [process.communicate(timeout=100)[0] for process in processes]

    assert [process.returncode for process in processes] == [0, 0, 0], outputs
    assert sum(output.count("Successfully installed") for output in outputs) == 1
    assert len({workshop.result_file(model).read_text() for model in models}) == 1


def test_a_local_wheel_whose_content_changed_is_installed_again(workshop: Workshop) -> None:
    model = workshop.model("model", "requirements: [./tinyone-1.0-py3-none-any.whl]\n")
    workshop.wheel("tinyone", "1.0", "X = 'old'", folder=model)
    first = workshop.prepare(model)
    workshop.wheel("tinyone", "1.0", "X = 'new'", folder=model)

    second = workshop.prepare(model)

    assert first.run("import tinyone; print(tinyone.X)") == "old"
    assert second.run("import tinyone; print(tinyone.X)") == "new"


def test_a_requirement_that_is_not_there_is_named_with_the_last_words_of_pip(
    prepared: Prepared, workshop: Workshop
) -> None:
    workshop.wheel("tinyone", "1.0")

    outcome = prepared("requirements: [tinyone, no-such-thing==9.1]\n")

    assert outcome.status == 1
    error = outcome.result["error"].splitlines()
    assert error[0] == "config.yaml: requirements: `no-such-thing==9.1`: cannot be installed; pip ended with status 1"
    assert "No matching distribution found for no-such-thing==9.1" in error[-1]
    assert outcome.lines[-len(error) :] == error


@pytest.mark.parametrize(
    ("requirements", "blamed"),
    [
        ("[tinyone, 'not a requirement']", "`not a requirement`"),
        ("[tinyone==1.0, tinyone==2.0]", "`tinyone==1.0`, `tinyone==2.0`"),
        ("[tinyone, needy]", "`needy`"),
        ("[./pkg]", "`./pkg`"),
    ],
    ids=["syntax", "conflict", "dependency", "build"],
)
def test_the_line_to_blame_is_named(workshop: Workshop, requirements: str, blamed: str) -> None:
    workshop.wheel("tinyone", "1.0")
    workshop.wheel("tinyone", "2.0")
    workshop.wheel("needy", "1.0", needs="no-such-thing")
    model = workshop.model("model", f"requirements: {requirements}\n")
    write_source(model / "pkg", "raise SystemExit('the build is broken')")

    outcome = workshop.prepare(model)

    assert outcome.status == 1
    assert f"config.yaml: requirements: {blamed}: cannot be installed" in outcome.result["error"]


def write_source(folder: Path, backend: str) -> None:
    """A source package with a build backend of its own, so that nothing has to be downloaded to build it."""
    folder.mkdir()
    (folder / "pyproject.toml").write_text(
        "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n"
        "[project]\nname = 'pkg'\nversion = '1.0'\n"
    )
    (folder / "backend.py").write_text(backend)


BACKEND = """
import zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    name = "pkg-1.0-py3-none-any.whl"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as wheel:
        wheel.write("pkg.py")
        wheel.writestr("pkg-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: pkg\\nVersion: 1.0\\n")
        wheel.writestr("pkg-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("pkg-1.0.dist-info/RECORD", "")
    return name
"""


def test_a_source_folder_of_the_model_is_built_and_followed(workshop: Workshop) -> None:
    model = workshop.model("model", "requirements: [./pkg]\n")
    write_source(model / "pkg", BACKEND)
    (model / "pkg" / "pkg.py").write_text("X = 1")
    assert workshop.prepare(model).run("import pkg; print(pkg.X)") == "1"

    (model / "pkg" / "pkg.py").write_text("X = 2")

    assert workshop.prepare(model).run("import pkg; print(pkg.X)") == "2"


def test_a_requirements_file_a_project_and_a_lock_are_installed(workshop: Workshop) -> None:
    for version in ("1.0", "2.0"):
        workshop.wheel("tinyone", version, needs="tinytwo")
        workshop.wheel("tinytwo", version)
    model = workshop.model("model", "requirements_file: requirements.txt\n")
    (model / "requirements.txt").write_text("-r more.txt  # the rest\n-c limits.txt\n")
    (model / "more.txt").write_text("tinyone\n")
    (model / "limits.txt").write_text("tinyone<2\n")
    (model / "pyproject.toml").write_text("[project]\nname = 'm'\ndependencies = ['tinyone>1']\n")
    (model / "uv.lock").write_text(
        "[[package]]\nname = 'm'\nsource = {virtual = '.'}\ndependencies = [{name = 'tinyone'}]\n"
        "[[package]]\nname = 'tinyone'\nversion = '2.0'\nsource = {registry = 'x'}\n"
        "[[package]]\nname = 'tinytwo'\nversion = '1.0'\nsource = {registry = 'x'}\n"
    )
    code = "import tinyone, tinytwo; print(tinyone.VERSION, tinytwo.VERSION)"

    assert workshop.prepare(model).run(code) == "1.0 2.0"
    workshop.model("model", "requirements_file: pyproject.toml\n")
    assert workshop.prepare(model).run(code) == "2.0 2.0"
    workshop.model("model", "requirements_file: uv.lock\n")
    assert workshop.prepare(model).run(code) == "2.0 1.0"


def test_a_pin_that_breaks_penstock_is_named(prepared: Prepared, workshop: Workshop) -> None:
    workshop.wheel("structlog", "0.1", "# far too old")

    outcome = prepared("requirements: [structlog==0.1]\n")

    assert outcome.status == 1
    assert "structlog 0.1 (Penstock needs structlog>=" in outcome.result["error"]
    assert "No set of versions suits both" in outcome.result["error"]


def test_a_python_that_is_not_here_is_an_error_that_says_which_are(prepared: Prepared, workshop: Workshop) -> None:
    workshop.env.update(PATH="/nowhere", PYENV_ROOT="/nowhere")
    wanted = 14 if sys.version_info[1] != 14 else 13

    outcome = prepared(f"python_version: py3{wanted}\n")

    assert outcome.status == 1
    assert f"the model wants Python 3.{wanted}, which is not on this machine" in outcome.result["error"]
    assert f"Available: {sys.version_info[0]}.{sys.version_info[1]}." in outcome.result["error"]


def test_build_commands_run_in_the_environment_and_the_models_folder(workshop: Workshop) -> None:
    workshop.wheel("tinyone", "1.0")
    workshop.wheel("tinytwo", "1.0")
    commands = [
        "python -c 'import tinyone; print(tinyone.VERSION)' > made.txt",
        f"pip install --no-index --find-links {workshop.wheels} tinytwo",
    ]
    model = workshop.model(
        "model", "requirements: [tinyone]\nbuild_commands:\n" + "".join(f"  - {c}\n" for c in commands)
    )

    outcome = workshop.prepare(model)

    assert (model / "made.txt").read_text() == "1.0\n"
    assert outcome.run("import tinyone, tinytwo; print(tinytwo.VERSION)") == "1.0"
    assert outcome.run(RUNNER_RUNS) == "runs"
    assert f"build command 1 of 2: {commands[0]}" in outcome.lines
    shared = workshop.prepare(workshop.model("other", "requirements: [tinyone]\n"))
    assert shared.run("import importlib.util as u; print(u.find_spec('tinytwo'))") == "None"


def test_a_build_command_that_fails_is_named_with_its_last_lines(prepared: Prepared) -> None:
    outcome = prepared("build_commands: ['true', 'echo out of luck >&2; exit 3']\n")

    assert outcome.status == 1
    assert outcome.result["error"].splitlines() == [
        "config.yaml: build_commands: number 2 ended with status 3: echo out of luck >&2; exit 3",
        "  out of luck",
    ]


def test_missing_system_packages_are_a_problem_not_a_failure(prepared: Prepared) -> None:
    outcome = prepared("system_packages: [no-such-system-package]\n")

    assert outcome.status == 0
    (problem,) = outcome.result["problems"]
    assert "system_packages" in problem and "no-such-system-package" in problem
    assert outcome.lines == [problem]


def test_a_broken_config_is_the_result(prepared: Prepared) -> None:
    outcome = prepared("requirements: 7\n")

    assert outcome.status == 1
    assert "config.yaml:1:15: requirements" in outcome.result["error"]


@pytest.mark.parametrize("end", ["by its starter", "with its starter"])
def test_an_end_in_the_middle_leaves_no_process_and_no_environment(workshop: Workshop, end: str) -> None:
    model = workshop.model("model", "build_commands: ['echo $$; exec sleep 600']\n")
    lifeline = Lifeline()
    with subprocess.Popen(
        [*workshop.command(model), f"--lifeline-fd={lifeline.read_fd}"],
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=(lifeline.read_fd,),
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        pid = int(process.stdout.readline())

        if end == "by its starter":
            process.send_signal(signal.SIGTERM)
        else:
            lifeline.close()

        assert process.wait(60) == 128 + signal.SIGTERM
    lifeline.close()
    assert not Path(f"/proc/{pid}").exists()
    assert [path for path in (workshop.cache / "environments").iterdir() if path.is_dir()] == []


def test_after_a_kill_in_the_middle_the_next_one_builds_anew(workshop: Workshop) -> None:
    workshop.wheel("tinyone", "1.0")
    model = workshop.model("model", "requirements: [tinyone]\n")
    with workshop.start(model) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()

    outcome = workshop.prepare(model)

    assert outcome.run("import tinyone; print(tinyone.VERSION)") == "1.0"


def test_an_environment_stays_as_long_as_a_result_file_names_it(workshop: Workshop) -> None:
    workshop.wheel("one", "1.0")
    workshop.wheel("two", "1.0")
    first, second = (workshop.model(f"model_{name}", f"requirements: [{name}]\n") for name in ("one", "two"))
    python = Path(workshop.prepare(first).python)
    bound = {"PENSTOCK_ENVIRONMENTS_MAX": "1"}

    def age() -> None:
        # Long unused; a fresh one would stay in any case.
        os.utime(python.parent.parent / "environment.json", (1, 1))

    age()
    assert "more than the bound of 1" in workshop.prepare(second, bound).result["problems"][0]
    assert python.exists()

    age()
    workshop.result_file(first).unlink()
    assert workshop.prepare(second, bound).result["problems"] == []
    assert not python.exists()
