from __future__ import annotations

from penstock.cli.up.observation import Deployment, Observation, Phase, Replica


def test_short_id_is_the_last_part() -> None:
    assert Replica("my-model-0123abcd-x5d2a", "my-model-0123abcd", Phase.READY).short_id == "x5d2a"


def test_parts_are_found_by_deployment() -> None:
    replica = Replica("a-1-x", "a-1", Phase.READY)
    observation = Observation(
        1,
        1,
        deployments=(Deployment("a", "a-1", active_streams=2), Deployment("b", "b-1", active_streams=3)),
        replicas=(replica, Replica("b-1-x", "b-1", Phase.READY)),
    )
    assert observation.replicas_of("a-1") == (replica,)
    found = observation.deployment("b-1")
    assert found is not None
    assert found.name == "b"
    assert observation.deployment("c-1") is None
    assert observation.active_streams == 5


def test_phases_that_do_not_pass_by_themselves_are_failures() -> None:
    assert Deployment("a", "a-1", phase="BUILD_FAILED").has_failed
    assert Deployment("a", "a-1", phase="DEPLOY_FAILED").has_failed
    assert not Deployment("a", "a-1", phase="UNHEALTHY").has_failed
    assert not Deployment("a", "a-1").has_failed
