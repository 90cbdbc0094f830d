from __future__ import annotations

from dataclasses import replace
from pathlib import PurePath

from penstock_controller.actuators.base import ReplicaSpec
from penstock_controller.actuators.runner_start import runner_command, runner_environment

RUN_DIR = PurePath("/state/run")


def spec(environment: str = "production", **variables: str) -> ReplicaSpec:
    return ReplicaSpec("echo-1-aaaaa", "echo-1", "echo", environment, "/models/echo", 1, variables)


def command(environment: str, lifeline_fd: int | None) -> list[str]:
    return runner_command(
        ["runner"], spec(environment), controller_address="unix:/c", run_dir=RUN_DIR, lifeline_fd=lifeline_fd
    )


def test_command_line_says_who_the_replica_is() -> None:
    assert command("production", 7) == [
        *("runner", "--model-dir", "/models/echo", "--replica-id", "echo-1-aaaaa", "--deployment-id", "echo-1"),
        *("--deployment-name", "echo", "--controller", "unix:/c", "--run-file", "/state/run/echo-1-aaaaa.json"),
        *("--environment", "production", "--lifeline-fd", "7"),
    ]


def test_what_is_not_there_is_not_on_the_command_line() -> None:
    assert not {"--environment", "--lifeline-fd"} & set(command("", None))


def test_an_environment_of_its_own_runs_with_its_interpreter() -> None:
    own = replace(spec(), python="/cache/env/bin/python")
    made = runner_command(["runner"], own, controller_address="unix:/c", run_dir=RUN_DIR, lifeline_fd=None)

    assert made == ["/cache/env/bin/python", "-P", "-m", "penstock_runner", *command("production", None)[1:]]


def test_variables_of_the_model_go_before_those_of_the_controller_and_after_ours() -> None:
    variables = {"LD_PRELOAD": "libx.so", "HOME": "/m", "PENSTOCK_RUN_DIR": "/forged", "CUDA_VISIBLE_DEVICES": "9"}
    base = {"HOME": "/c", "LANG": "C", "PENSTOCK_REPLICA_ID": "outer"}

    env = runner_environment(base, spec(**variables), run_dir=RUN_DIR, gpus="0,1")

    assert env == {
        "HOME": "/m",
        "LANG": "C",
        "LD_PRELOAD": "libx.so",
        "CUDA_VISIBLE_DEVICES": "0,1",
        "PENSTOCK_RUN_DIR": "/state/run",
        "PENSTOCK_REPLICA_ID": "echo-1-aaaaa",
        "PENSTOCK_DEPLOYMENT_ID": "echo-1",
        "PENSTOCK_REPLICA_GPUS": "0,1",
    }
    assert base["HOME"] == "/c"


def test_programs_of_a_models_environment_are_found() -> None:
    made = replace(spec(), python="/cache/env/bin/python")

    env = runner_environment({"PATH": "/usr/bin"}, made, run_dir=RUN_DIR, gpus="")

    assert env["PATH"] == "/cache/env/bin:/usr/bin"
    assert env["VIRTUAL_ENV"] == "/cache/env"


def test_without_assigned_gpus_the_visible_ones_stay_as_they_are() -> None:
    inherited = runner_environment({"CUDA_VISIBLE_DEVICES": "2"}, spec(), run_dir=RUN_DIR, gpus="")
    chosen = runner_environment({}, spec(CUDA_VISIBLE_DEVICES="3"), run_dir=RUN_DIR, gpus="")

    assert inherited["CUDA_VISIBLE_DEVICES"] == "2"
    assert chosen["CUDA_VISIBLE_DEVICES"] == "3"
    assert "CUDA_VISIBLE_DEVICES" not in runner_environment({}, spec(), run_dir=RUN_DIR, gpus="")
