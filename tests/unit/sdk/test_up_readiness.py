from __future__ import annotations

from dataclasses import replace

from penstock.cli.up.observation import Deployment, Edge, Observation, Phase, Replica
from penstock.cli.up.readiness import DEATHS_MAX, Failed, ModelFailure, Readiness, Ready, Waiting, Wanted

EDGE_PID = 77
WANTED = Wanted("echo", "echo-1", 2)
EDGE = Edge(EDGE_PID, "127.0.0.1:8000", snapshot_epoch=1, snapshot_version=9)
READY = Observation(
    epoch=1,
    snapshot_version=9,
    deployments=(Deployment("echo", "echo-1", ready=2),),
    replicas=(Replica("echo-1-a", "echo-1", Phase.READY), Replica("echo-1-b", "echo-1", Phase.READY)),
    edges=(EDGE,),
)


def judge(observation: Observation, *wanted: Wanted) -> Ready | Waiting | Failed:
    return Readiness(wanted or (WANTED,)).judge(observation, EDGE_PID)


def loading(*replicas: Replica, ready: int = 0, starting: int = 2) -> Observation:
    deployment = Deployment("echo", "echo-1", ready=ready, starting=starting)
    return replace(READY, deployments=(deployment,), replicas=replicas)


def test_ready_when_every_replica_and_the_edge_are() -> None:
    assert judge(READY) == Ready(EDGE)


def test_one_replica_of_two_is_not_ready() -> None:
    assert judge(loading(ready=1, starting=1)) == Waiting(("echo: 1 of 2 replicas ready (1 starting)",))


def test_deployment_that_is_not_known_yet_is_waited_for() -> None:
    assert judge(replace(READY, deployments=(), replicas=())) == Waiting(("echo: 0 of 2 replicas ready",))


def test_what_a_starting_replica_does_is_told() -> None:
    observation = loading(Replica("echo-1-a", "echo-1", Phase.STARTING, message="downloading weights\nmore"))
    assert judge(observation) == Waiting(("echo: 0 of 2 replicas ready (2 starting, downloading weights)",))


def test_every_wanted_deployment_counts() -> None:
    verdict = judge(READY, WANTED, Wanted("voice", "voice-1", 1))
    assert verdict == Waiting(("voice: 0 of 1 replica ready",))


def test_without_an_edge_nothing_is_ready() -> None:
    assert judge(replace(READY, edges=())) == Waiting(("waiting for the edge",), for_edge=True)


def test_edge_of_someone_else_does_not_count() -> None:
    assert isinstance(judge(replace(READY, edges=(replace(EDGE, pid=5),))), Waiting)


def test_edge_of_an_unknown_process_counts() -> None:
    assert isinstance(judge(replace(READY, edges=(replace(EDGE, pid=0),))), Ready)


def test_edge_must_route_by_the_snapshot_that_has_the_replicas() -> None:
    behind = replace(READY, edges=(replace(EDGE, snapshot_version=8),))
    assert isinstance(judge(behind), Waiting)
    assert isinstance(judge(replace(READY, edges=(replace(EDGE, snapshot_epoch=0, snapshot_version=99),))), Waiting)


def test_edge_need_not_catch_up_with_versions_that_go_on_rising() -> None:
    readiness = Readiness((WANTED,))
    behind = replace(READY, edges=(replace(EDGE, snapshot_version=8),))
    assert isinstance(readiness.judge(behind, EDGE_PID), Waiting)
    risen = replace(READY, snapshot_version=20)
    assert isinstance(readiness.judge(risen, EDGE_PID), Ready)


def test_new_controller_starts_the_count_of_versions_anew() -> None:
    readiness = Readiness((WANTED,))
    readiness.judge(replace(READY, edges=()), EDGE_PID)
    restarted = replace(
        READY, epoch=2, snapshot_version=1, edges=(replace(EDGE, snapshot_epoch=2, snapshot_version=1),)
    )
    assert isinstance(readiness.judge(restarted, EDGE_PID), Ready)


def test_failed_replica_fails_its_model_with_its_own_words() -> None:
    failed = Replica("echo-1-a", "echo-1", Phase.FAILED, message="Traceback: boom", log_path="/log")
    verdict = judge(loading(failed, Replica("echo-1-b", "echo-1", Phase.STARTING)))
    assert isinstance(verdict, Failed)
    (failure,) = verdict.failures
    assert (failure.name, failure.replica_id, failure.reason, failure.log_path) == (
        "echo",
        "echo-1-a",
        "Traceback: boom",
        "/log",
    )


def test_reason_is_the_deployments_when_the_replica_gives_none() -> None:
    observation = replace(
        loading(Replica("echo-1-a", "echo-1", Phase.FAILED)),
        deployments=(Deployment("echo", "echo-1", message="no memory"),),
    )
    verdict = judge(observation)
    assert isinstance(verdict, Failed)
    assert verdict.failures[0].reason == "no memory"


def dying(count: int, readiness: Readiness) -> Ready | Waiting | Failed:
    """Shows `count` replicas that start and are gone at the next look."""
    for number in range(count):
        replica = Replica(f"echo-1-r{number}", "echo-1", Phase.STARTING, log_path=f"/log/r{number}")
        readiness.judge(loading(replica), EDGE_PID)
    gone = replace(loading(), deployments=(Deployment("echo", "echo-1", message="ended by SIGKILL"),))
    return readiness.judge(gone, EDGE_PID)


def test_model_whose_processes_die_again_and_again_fails() -> None:
    assert isinstance(dying(DEATHS_MAX - 1, Readiness((WANTED,))), Waiting)
    verdict = dying(DEATHS_MAX, Readiness((WANTED,)))
    assert isinstance(verdict, Failed)
    (failure,) = verdict.failures
    assert (failure.reason, failure.log_path) == ("ended by SIGKILL", f"/log/r{DEATHS_MAX - 1}")


def test_replica_that_is_lost_while_starting_counts_once() -> None:
    readiness = Readiness((WANTED,))
    replica = Replica("echo-1-a", "echo-1", Phase.STARTING)
    for _ in range(DEATHS_MAX):
        readiness.judge(loading(replica), EDGE_PID)
        verdict = readiness.judge(loading(replace(replica, phase=Phase.LOST)), EDGE_PID)
        assert isinstance(verdict, Waiting)


def test_failed_replica_of_another_deployment_is_no_matter() -> None:
    other = Replica("old-1-a", "old-1", Phase.FAILED)
    assert isinstance(judge(replace(READY, replicas=(*READY.replicas, other))), Ready)


def test_a_build_is_waited_for_by_its_name() -> None:
    deployment = Deployment("echo", "echo-1", phase="BUILDING")
    assert judge(replace(READY, deployments=(deployment,), replicas=())) == Waiting(("echo: building its environment",))


def test_a_build_that_fails_is_a_failure_with_its_log() -> None:
    deployment = Deployment("echo", "echo-1", phase="BUILD_FAILED", message="no numpy", build_log_path="/logs/build")
    verdict = judge(replace(READY, deployments=(deployment,), replicas=()))
    assert verdict == Failed((ModelFailure("echo", "", "no numpy", "/logs/build"),))
