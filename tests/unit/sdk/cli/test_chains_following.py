from __future__ import annotations

import io

import pytest

from penstock.api.control.v1 import admin_pb2, chain_pb2
from penstock.cli.chains.following import ChainFollowing
from penstock.cli.progress_line import ProgressLine
from penstock.cli.push.outcome import Verdict


class Statuses:
    """A controller that tells one state after the other."""

    def __init__(self, *phases: tuple[str, str], environments: tuple[str, ...] = ("production",)) -> None:
        self._phases = list(phases)
        self._environments = environments

    def GetStatus(self, request: admin_pb2.GetStatusRequest, timeout: float) -> admin_pb2.GetStatusResponse:
        phases = self._phases.pop(0) if len(self._phases) > 1 else self._phases[0]
        return admin_pb2.GetStatusResponse(
            deployments=[
                admin_pb2.DeploymentStatus(deployment_id=name, phase=phase, environments=self._environments)
                for name, phase in zip(("a-1", "b-1"), phases, strict=True)
            ]
        )


def follow(controller: Statuses, timeout_s: float = 10.0) -> tuple[Verdict, ChainFollowing]:
    created = chain_pb2.CreatedChain(
        environment="production",
        chainlets=[chain_pb2.CreatedChainlet(name=name, deployment_id=f"{name.lower()}-1") for name in "AB"],
    )
    following = ChainFollowing(controller, created, ProgressLine(io.StringIO()))  # type: ignore[arg-type]  # as much of a stub as is used
    return following.run(timeout_s), following


def test_a_chain_serves_when_every_chainlet_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.cli.chains.following.POLL_S", 0.001)
    verdict, following = follow(Statuses(("ACTIVE", "LOADING_MODEL"), ("ACTIVE", "ACTIVE")))
    assert verdict is Verdict.SERVES
    assert [each.phase for each in following.chainlets.values()] == ["ACTIVE", "ACTIVE"]


def test_one_chainlet_that_fails_fails_the_chain() -> None:
    verdict, following = follow(Statuses(("ACTIVE", "BUILD_FAILED")))
    assert (verdict, following.failed) == (Verdict.FAILED, ("B",))


@pytest.mark.parametrize(
    "controller",
    [Statuses(("ACTIVE", "LOADING_MODEL")), Statuses(("ACTIVE", "ACTIVE"), environments=())],
    ids=["one loads", "nothing points to it"],
)
def test_time_runs_out(controller: Statuses) -> None:
    assert follow(controller, 0.0)[0] is Verdict.WAITING
