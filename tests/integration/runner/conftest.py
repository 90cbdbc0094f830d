"""Real runner processes over Truss directories that a test writes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from penstock_testing.fake_controller import FakeController
from penstock_testing.runner_process import WAIT_S, Runner, StartRunner, WriteTruss


@pytest.fixture
def write_truss(tmp_path: Path) -> WriteTruss:
    """Writes a Truss directory; `config=None` leaves config.yaml out."""

    def write(
        model: str | None, *, config: str | bytes | None = "model_name: m\n", files: Mapping[str, str] | None = None
    ) -> Path:
        folder = tmp_path / "truss"
        contents: dict[str, str | bytes] = dict(files or {})
        if config is not None:
            contents["config.yaml"] = config
        if model is not None:
            contents["model/model.py"] = model
        folder.mkdir()
        for name, text in contents.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return folder

    return write


@pytest.fixture
def controller() -> Iterator[FakeController]:
    with FakeController() as fake:
        yield fake


@pytest.fixture
def start_runner(tmp_path: Path) -> Iterator[StartRunner]:
    """Starts `python -P -m penstock_runner` as the local actuator does; whatever lives on is killed at the end."""
    started: list[Runner] = []

    def start(
        model_dir: Path,
        *extra: str,
        controller: FakeController | None = None,
        program: tuple[str, ...] = ("-m", "penstock_runner"),
        env: Mapping[str, str] | None = None,
        pass_fds: tuple[int, ...] = (),
    ) -> Runner:
        log = tmp_path / f"runner-{len(started)}.log"
        run_file = tmp_path / f"runner-{len(started)}.json"
        command = [sys.executable, "-P", *program, "--model-dir", str(model_dir)]
        command += ["--replica-id", "m-1-abcde", "--deployment-id", "m-1", "--deployment-name", "m"]
        command += ["--run-file", str(run_file), "--log-format", "json"]
        if controller is not None:
            command += ["--controller", controller.address]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command, *extra],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=tmp_path,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
                pass_fds=pass_fds,
                start_new_session=True,
            )
        runner = Runner(process, log, run_file)
        started.append(runner)
        return runner

    yield start
    for runner in started:
        if runner.process.poll() is None:
            runner.process.kill()
        runner.process.wait(WAIT_S)
