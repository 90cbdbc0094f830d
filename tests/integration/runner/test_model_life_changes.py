"""What changes for a model that is loaded: health, memory, environment, code. Real runner processes."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.api.control.v1 import control_pb2
from penstock_testing.fake_controller import FakeController
from penstock_testing.runner_process import StartRunner, WriteTruss

MODEL = """\
class Model:
    def predict(self, inputs): return 1
"""
FASTER = """\
import dataclasses, runpy
import penstock_runner.process as process
from penstock_runner.environment_watch import EnvironmentWatch
from penstock_runner.health_monitor import HealthMonitor
EnvironmentWatch.__init__.__kwdefaults__["interval_s"] = 0.05
HealthMonitor.__init__.__kwdefaults__["interval_s"] = 0.05
load = process.load_config
def quick(folder):
    config = load(folder)
    times = dict(startup_threshold_s=STARTUP, stop_traffic_threshold_s=0.2, restart_threshold_s=RESTART)
    return dataclasses.replace(config, health_checks=dataclasses.replace(config.health_checks, **times))
process.load_config = quick
runpy.run_module("penstock_runner", run_name="__main__", alter_sys=True)
"""
"""The runner with times that a test can wait for: config.yaml allows none below ten seconds."""


def faster(*, restart_s: float = 3000.0, startup_s: float = 60.0) -> tuple[str, str]:
    return "-c", f"RESTART, STARTUP = {restart_s}, {startup_s}\n{FASTER}"


HEALTH = f"import os\n{MODEL}    def is_healthy(self): return os.path.exists('healthy')\n"


def test_model_is_ready_only_when_it_says_that_it_is_healthy(
    write_truss: WriteTruss, start_runner: StartRunner, controller: FakeController
) -> None:
    folder = write_truss(HEALTH)
    runner = start_runner(folder, controller=controller, program=faster())
    controller.wait_for(lambda: runner.output().count("Health check failed.") >= 2)
    assert controller.states() == ["STARTING"]

    (folder / "healthy").touch()

    controller.wait_for(lambda: controller.state() == "READY")


def test_model_that_never_becomes_healthy_fails_in_time(
    write_truss: WriteTruss, start_runner: StartRunner, controller: FakeController
) -> None:
    runner = start_runner(write_truss(HEALTH), controller=controller, program=faster(startup_s=1.0))

    assert runner.wait_exit() == 1
    assert controller.state() == "FAILED"
    assert "is_healthy" in controller.statuses()[-1].message


def test_model_that_falls_ill_admits_no_more_and_may_recover(
    write_truss: WriteTruss, start_runner: StartRunner, controller: FakeController
) -> None:
    folder = write_truss(HEALTH, files={"healthy": ""})
    start_runner(folder, controller=controller, program=faster())
    controller.wait_for(lambda: controller.state() == "READY")

    (folder / "healthy").unlink()
    controller.wait_for(lambda: "`is_healthy` fails; admits no new calls" in controller.statuses()[-1].message)
    (folder / "healthy").touch()

    controller.wait_for(lambda: controller.statuses()[-1].message == "")


def test_model_that_stays_ill_ends_so_that_another_one_starts(
    write_truss: WriteTruss, start_runner: StartRunner, controller: FakeController
) -> None:
    folder = write_truss(HEALTH, files={"healthy": ""})
    runner = start_runner(folder, controller=controller, program=faster(restart_s=0.4))
    controller.wait_for(lambda: controller.state() == "READY")

    (folder / "healthy").unlink()

    assert runner.wait_exit() != 0
    assert "`is_healthy` has failed for" in runner.event("model_restart_due")["reason"]


def test_check_that_hangs_is_a_check_that_fails(
    write_truss: WriteTruss, start_runner: StartRunner, controller: FakeController
) -> None:
    """The model blocks in a thread; the runner goes on, and ends when it is asked to."""
    program = faster()[1].replace("load = ", 'HealthMonitor.__init__.__kwdefaults__["answer_s"] = 0.1\nload = ', 1)
    source = f"import threading\n{MODEL}    def is_healthy(self): threading.Event().wait()\n"
    runner = start_runner(write_truss(source), controller=controller, program=("-c", program))
    controller.wait_for(lambda: "`is_healthy` has not answered within 0.1 s" in runner.output())

    runner.process.terminate()

    assert runner.wait_exit() == 0


def test_memory_above_what_config_yaml_says_is_told(
    write_truss: WriteTruss, start_runner: StartRunner, controller: FakeController
) -> None:
    folder = write_truss(MODEL, config="resources: {memory: 10Mi}\n")

    runner = start_runner(folder, controller=controller)

    controller.wait_for(lambda: controller.state() == "READY")
    controller.wait_for(lambda: "`resources.memory` in config.yaml says 10 MiB" in controller.statuses()[-1].message)
    assert "MiB of memory" in runner.event("memory_above_limit")["detail"]


SETUP = f"""{MODEL}
    def setup_environment(self, environment):
        with open("told", "a") as told:
            told.write(repr(environment) + "\\n")
        if "error" in environment:
            raise ValueError(environment["error"])
"""


def test_environment_comes_from_the_file_and_is_set_up_again_when_it_changes(
    write_truss: WriteTruss, start_runner: StartRunner, controller: FakeController, tmp_path: Path
) -> None:
    folder = write_truss(SETUP)
    file = tmp_path / "environment"

    def write(environment: dict[str, str]) -> None:
        new = tmp_path / "new"
        new.write_text(json.dumps(environment))
        new.replace(file)

    write({"name": "staging", "region": "x"})
    env = {"PENSTOCK_ENVIRONMENT_FILE": str(file)}
    runner = start_runner(folder, "--environment", "other", controller=controller, program=faster(), env=env)
    controller.wait_for(lambda: controller.state() == "READY")
    assert told(folder) == [{"name": "staging", "region": "x"}]

    write({"name": "broken", "error": "no such region"})
    controller.wait_for(lambda: "environment_setup_failed" in runner.output())
    assert "ValueError: no such region" in runner.event("environment_setup_failed")["exception"]
    write({"name": "production"})
    controller.wait_for(lambda: len(told(folder)) == 3)

    assert told(folder)[-1] == {"name": "production"}
    assert controller.state() == "READY"


def told(folder: Path) -> list[dict[str, str]]:
    return [eval(line) for line in (folder / "told").read_text().splitlines()]


@pytest.fixture
def reload(controller: FakeController) -> Callable[[str], control_pb2.ReloadResult]:
    """Has the runner reload; returns its answer."""

    def ask(reload_id: str) -> control_pb2.ReloadResult:
        def answers() -> list[control_pb2.ReloadResult]:
            found = [request.reload_result for request in controller.requests() if request.HasField("reload_result")]
            return [answer for answer in found if answer.reload_id == reload_id]

        controller.say(control_pb2.AttachResponse(reload=control_pb2.ReloadModel(reload_id=reload_id)))
        controller.wait_for(lambda: bool(answers()))
        return answers()[0]

    return ask


RELOADED = """\
print("imported", {number}, flush=True)
class Model:
    def load(self):
        print("loaded", flush=True)
        self.weights = {number}
    def predict(self, inputs): return self.weights
"""


def test_new_code_is_taken_up_and_bad_code_is_not(
    write_truss: WriteTruss,
    start_runner: StartRunner,
    controller: FakeController,
    reload: Callable[[str], control_pb2.ReloadResult],
) -> None:
    folder = write_truss(RELOADED.format(number=1))
    runner = start_runner(folder, controller=controller)
    controller.wait_for(lambda: controller.state() == "READY")

    (folder / "model/model.py").write_text(RELOADED.format(number=2))
    started = time.monotonic()
    good = reload("r1")
    took_s = time.monotonic() - started
    (folder / "model/model.py").write_text("class Model:\n    x = = 1\n")
    bad = reload("r2")
    (folder / "model/model.py").write_text("class Model(dict):\n    def predict(self): pass\n")
    other = reload("r3")

    assert good.reloaded, good.message
    assert took_s < 1.0
    assert runner.output().count("loaded") - runner.output().count("reloaded") == 1
    assert "imported 2" in runner.output()
    assert (bad.reloaded, bad.needs_restart) == (False, False)
    assert bad.message.splitlines()[0] == "SyntaxError: invalid syntax (model/model.py, line 2)"
    assert (other.reloaded, other.needs_restart) == (False, True)
    assert other.message.startswith("A restart is needed: `Model` keeps its state as a `dict`")
    assert controller.state() == "READY"
    os.kill(runner.pid, 0)
