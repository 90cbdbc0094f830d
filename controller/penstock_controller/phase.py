"""Where a deployment is in its life, in the words of Baseten (facts: truss.md section 5). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from penstock_controller.records import BuildState


class Phase(StrEnum):
    """The phases, in the order in which a deployment usually meets them."""

    BUILDING = "BUILDING"
    """Its environment, build commands or weights are prepared, or wait for their turn."""
    BUILD_FAILED = "BUILD_FAILED"
    """They could not be. It is tried again when the deployment is pushed or applied again."""
    DEPLOYING = "DEPLOYING"
    """Its first replica is about to start: its process, or a GPU, is awaited."""
    LOADING_MODEL = "LOADING_MODEL"
    """Its first replica loads the model."""
    DEPLOY_FAILED = "DEPLOY_FAILED"
    """No replica has ever been ready, and the last one failed. It is tried again."""
    ACTIVE = "ACTIVE"
    """At least one replica takes streams."""
    UPDATING = "UPDATING"
    """The same, while replicas import changed code, or are replaced."""
    UNHEALTHY = "UNHEALTHY"
    """It has served, and no replica takes streams now: the health check fails, or replicas have died."""
    FAILED = "FAILED"
    """It has served, and its replicas fail again and again."""
    SCALED_TO_ZERO = "SCALED_TO_ZERO"
    """No replica is wanted."""
    WAKING_UP = "WAKING_UP"
    """A replica starts after there was none."""
    DEACTIVATING = "DEACTIVATING"
    """It was stopped or is being removed, and its replicas finish their streams."""
    INACTIVE = "INACTIVE"
    """The same, and none is left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What the phase follows from. Numbers are replicas."""

    build: BuildState = BuildState.NONE
    is_ended: bool = False
    """It was stopped, or is being removed."""
    was_ready: bool = False
    """A replica was ready at any time."""
    is_reloading: bool = False
    """Replicas were asked to import their code again."""
    target: int = 0
    healthy: int = 0
    """Ready, and the health check does not fail."""
    unhealthy: int = 0
    loading: int = 0
    """Attached, and not ready yet."""
    starting: int = 0
    """Started, and not attached yet."""
    draining: int = 0
    failing: int = 0
    """Places whose last replica failed, and none has been ready there since."""
    crash_looping: int = 0


def phase_of(seen: Circumstances) -> Phase:
    """Returns the phase: the first that fits, what an operator decided before what was met."""
    if seen.is_ended:
        left = seen.healthy + seen.unhealthy + seen.loading + seen.starting + seen.draining
        return Phase.DEACTIVATING if left else Phase.INACTIVE
    if seen.build is BuildState.FAILED:
        return Phase.BUILD_FAILED
    if seen.build in (BuildState.WAITING, BuildState.RUNNING):
        return Phase.BUILDING
    if seen.healthy:
        is_replaced = seen.draining and seen.loading + seen.starting
        return Phase.UPDATING if seen.is_reloading or is_replaced else Phase.ACTIVE
    if seen.unhealthy:
        return Phase.UNHEALTHY
    if seen.target == 0 and not seen.loading + seen.starting:
        return Phase.SCALED_TO_ZERO
    if not seen.was_ready:
        if seen.failing:
            return Phase.DEPLOY_FAILED
        return Phase.LOADING_MODEL if seen.loading else Phase.DEPLOYING
    if seen.crash_looping:
        return Phase.FAILED
    return Phase.UNHEALTHY if seen.failing else Phase.WAKING_UP
