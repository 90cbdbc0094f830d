"""Decides whether a pushed deployment serves, is still on its way, or will not serve. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Verdict(Enum):
    """What is known of a deployment."""

    WAITING = "waiting"
    SERVES = "serves"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Seen:
    """What the controller says of the deployment."""

    phase: str
    """As in DeploymentStatus."""
    environments: tuple[str, ...] = ()
    """That point to it."""


_SERVING = frozenset({"ACTIVE", "UPDATING"})
_FAILED = frozenset({"BUILD_FAILED", "BUILD_STOPPED", "DEPLOY_FAILED", "FAILED", "DEACTIVATING", "INACTIVE"})


def judge(seen: Seen | None, environment: str) -> Verdict:
    """Returns the verdict.

    Args:
        seen: None when the controller does not know the deployment any more.
        environment: That is to point to it; empty for none.
    """
    if seen is None or seen.phase in _FAILED:
        return Verdict.FAILED
    # Scaled to zero: a replica was ready, nobody called, and it went.
    is_up = seen.phase in _SERVING or seen.phase == "SCALED_TO_ZERO"
    is_pointed_to = not environment or environment in seen.environments
    return Verdict.SERVES if is_up and is_pointed_to else Verdict.WAITING


def describe(phase: str) -> str:
    """Says what a phase means, for people who wait."""
    return _WORDS.get(phase, phase.lower().replace("_", " "))


_WORDS = {
    "BUILDING": "building its environment, fetching its weights",
    "BUILD_FAILED": "it could not be built",
    "DEPLOYING": "starting a replica",
    "LOADING_MODEL": "loading the model",
    "DEPLOY_FAILED": "the model could not be loaded",
    "FAILED": "its replicas fail again and again",
    "ACTIVE": "active",
    "UNHEALTHY": "not healthy",
    "WAKING_UP": "waking up",
    "SCALED_TO_ZERO": "active, without a replica until it is called",
    "INACTIVE": "it was stopped",
    "DEACTIVATING": "it is being stopped",
}
