from __future__ import annotations

from penstock.cli.up.observation import Observation, Phase, Replica
from penstock.cli.up.transitions import describe_transitions, label

NAMES = {"echo-1": "echo"}


def seen(*phases: Phase, epoch: int = 1, message: str = "") -> Observation:
    replicas = tuple(Replica(f"echo-1-r{i}", "echo-1", phase, message=message) for i, phase in enumerate(phases))
    return Observation(epoch, 1, replicas=replicas)


def test_nothing_changed() -> None:
    assert describe_transitions(seen(Phase.READY), seen(Phase.READY), NAMES) == ()


def test_every_change_of_a_replica_is_told() -> None:
    for phase in Phase:
        before = seen(Phase.STARTING if phase is Phase.READY else Phase.READY)
        (line,) = describe_transitions(before, seen(phase, message="why"), NAMES) or ("",)
        assert line.startswith("echo/r0: ") or phase is Phase.READY


def test_failure_is_told_with_its_reason() -> None:
    lines = describe_transitions(seen(Phase.READY), seen(Phase.FAILED, message="boom"), NAMES)
    assert lines == ("echo/r0: failed: boom",)


def test_what_a_ready_replica_has_to_say_is_told() -> None:
    lines = describe_transitions(seen(Phase.STARTING), seen(Phase.READY, message="no websocket method"), NAMES)
    assert lines == ("echo/r0: ready: no websocket method",)


def test_new_replica_is_told() -> None:
    assert describe_transitions(seen(), seen(Phase.STARTING), NAMES) == ("echo/r0: starting",)


def test_end_of_a_replica_is_told() -> None:
    assert describe_transitions(seen(Phase.READY), seen(), NAMES) == ("echo/r0: ended",)


def test_end_of_a_failed_replica_is_not_told_twice() -> None:
    assert describe_transitions(seen(Phase.FAILED), seen(), NAMES) == ()


def test_replica_that_a_new_controller_has_not_heard_of_yet_has_not_ended() -> None:
    assert describe_transitions(seen(Phase.READY), seen(epoch=2), NAMES) == ()


def test_replica_of_an_unknown_deployment_is_named_by_its_id() -> None:
    assert label(Replica("voice-1-x", "voice-1", Phase.READY), NAMES) == "voice-1/x"
