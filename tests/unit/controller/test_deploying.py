from __future__ import annotations

from pathlib import Path

import pytest

from penstock_controller.deploying import WantedDeployment, prepare_deployment
from penstock_controller.errors import InvalidRequestError


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
        ("production",),
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
