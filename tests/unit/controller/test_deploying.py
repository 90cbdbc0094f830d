from __future__ import annotations

from pathlib import Path

import pytest

from penstock_controller.deploying import WantedDeployment, prepare_deployment, renewed
from penstock_controller.errors import InvalidRequestError
from penstock_controller.records import Build, BuildState
from penstock_testing.controller_parts import deployment


@pytest.fixture
def truss(tmp_path: Path) -> Path:
    folder = tmp_path / "My Echo"
    folder.mkdir()
    (folder / "config.yaml").write_text(
        "model_name: Echo Model\npenstock:\n  routes: [/ws]\n  limits:\n    message_bytes_max: 1000\n"
    )
    return folder


def wanted(source: Path | str, *, name: str = "", replicas: int = 2, environment: str = "") -> WantedDeployment:
    return WantedDeployment(name, str(source), replicas, environment)


def test_name_and_settings_come_from_the_configuration(truss: Path) -> None:
    deployment = prepare_deployment(wanted(truss), now_wall=5.0)

    assert (deployment.name, deployment.overrides.replicas, deployment.environments) == (
        "echo-model",
        2,
        (),
    )
    assert deployment.deployment_id.startswith("echo-model-")
    assert (deployment.routes, deployment.limits.message_bytes_max) == (("/ws",), 1000)
    assert deployment.created_wall == 5.0


def test_same_content_is_the_same_deployment(truss: Path) -> None:
    first = prepare_deployment(wanted(truss), now_wall=5.0)
    second = prepare_deployment(wanted(truss, replicas=4, environment="staging"), now_wall=6.0)

    assert first.deployment_id == second.deployment_id


def test_given_name_wins(truss: Path) -> None:
    assert prepare_deployment(wanted(truss, name="mine"), now_wall=0.0).name == "mine"


def test_broken_configuration_is_refused_with_its_place(truss: Path) -> None:
    (truss / "config.yaml").write_text("penstock:\n  autoscaling:\n    max_concurrency: none\n")

    with pytest.raises(InvalidRequestError, match=r"config\.yaml:3:\d+: penstock\.autoscaling\.max_concurrency"):
        prepare_deployment(wanted(truss), now_wall=0.0)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"source": "relative"}, "absolute"),
        ({"source": "/does/not/exist"}, "not a folder"),
        ({"name": "-bad"}, "name: must be"),
        ({"name": "x" * 64}, "name: must be"),
        ({"replicas": 1001}, "replicas: must be 0 to 1000"),
        ({"environment": "Prod"}, "environment: must be"),
    ],
)
def test_bad_wish_is_refused_with_what_is_wrong(truss: Path, change: dict[str, object], complaint: str) -> None:
    values: dict[str, object] = {"name": "", "source": str(truss), "replicas": 1, "environment": "", **change}

    with pytest.raises(InvalidRequestError, match=complaint):
        prepare_deployment(WantedDeployment(**values), now_wall=0.0)  # type: ignore[arg-type]  # wrong on purpose


def test_an_artifact_names_the_deployment_by_its_hash(truss: Path) -> None:
    wish = WantedDeployment("", str(truss), None, "staging", "ab" * 32)

    made = prepare_deployment(wish, now_wall=0.0)

    assert (made.deployment_id, made.artifact, made.environments) == ("echo-model-abababab", "ab" * 32, ("staging",))


def test_an_artifact_without_a_name_needs_one(truss: Path) -> None:
    (truss / "config.yaml").write_text("{}\n")

    with pytest.raises(InvalidRequestError, match="give a name"):
        prepare_deployment(WantedDeployment("", str(truss), None, "", "ab" * 32), now_wall=0.0)
    assert prepare_deployment(WantedDeployment("mine", str(truss), None, "", "ab" * 32), now_wall=0.0).name == "mine"


def test_requirements_are_to_be_built_first(truss: Path) -> None:
    assert prepare_deployment(wanted(truss), now_wall=0.0).build == Build()
    (truss / "config.yaml").write_text("build_commands: ['true']\n")
    assert prepare_deployment(wanted(truss), now_wall=0.0).build == Build(BuildState.WAITING)


def test_times_of_requests_come_from_the_configuration(truss: Path) -> None:
    (truss / "config.yaml").write_text("penstock: {limits: {predict_timeout: 60}}\n")
    limits = prepare_deployment(wanted(truss), now_wall=0.0).limits
    assert (limits.predict_timeout_s, limits.async_predict_timeout_s) == (60.0, 3600.0)


def test_what_is_asked_for_again_keeps_what_was_built(tmp_path: Path) -> None:
    new = deployment(build=Build(BuildState.WAITING))
    python = tmp_path / "python"
    python.touch()
    built = deployment(build=Build(BuildState.DONE, python=str(python)), ready_wall=7.0)
    running = deployment(build=Build(BuildState.RUNNING))
    failed = deployment(build=Build(BuildState.FAILED, "why"))

    assert renewed(new, None) == new
    assert (renewed(new, built).build, renewed(new, built).ready_wall) == (built.build, 7.0)
    assert renewed(new, running).build == running.build
    assert renewed(new, failed).build == Build(BuildState.WAITING), "a failed build is tried again"
    python.unlink()
    assert renewed(new, built).build == Build(BuildState.WAITING), "its interpreter is gone"
    assert renewed(deployment(), failed).build == Build(), "nothing is to be built any more"
