"""The outcome of a look at a deployment, with everything it was based on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class PolicyState:
    """What the policy remembers between two looks. A value: every look gives a new one.

    It need not outlive the controller: without it, delays begin anew.
    """

    target: int = 0
    idle_since: Mapping[str, float] = field(default_factory=dict)
    """Ready replicas without streams, and since when (monotonic seconds)."""
    last_removal_at: float | None = None
    low_since: float | None = None
    """Since when the load has asked for fewer replicas; metric requests only."""
    samples: tuple[tuple[float, float], ...] = ()
    """(time, load) whenever the load changed, not older than the window but for the first; metric requests only."""
    admissions: tuple[tuple[float, int], ...] = ()
    """(time, open streams), rising: the least of lately, from which follows how many were admitted; metric streams
    only."""
    levels: tuple[tuple[float, int], ...] = ()
    """(time, streams) over the last seconds, from which follows how fast they get more; metric streams only."""
    starting: frozenset[str] = frozenset()
    """Replicas that were starting."""
    startups: tuple[float, ...] = ()
    """How long the last replicas took to start, in seconds."""
    failing_since: float | None = None
    """Since when some replica fails again and again."""
    cordoned: frozenset[str] = frozenset()
    """The surplus replica that is the last choice, so that it stays the same one."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a decision is what it is."""

    rule: str
    """Stable name, one of penstock_controller.scaling.policy.RULES."""
    text: str
    """The rule with its numbers, for people."""
    blocked: str = ""
    """What keeps the deployment from what its load asks for, for people. Empty when nothing does."""


@dataclass(frozen=True, slots=True)
class Victim:
    """A replica that is to go."""

    replica_id: str
    if_idle: bool
    """Ask the replica, and let it go only if it holds no slot at that moment; the target shrinks with it, so until the
    answer it is one less than `Decision.target` says. Otherwise drain it: it ends when its last stream does."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Outcome of `decide`."""

    state: PolicyState
    target: int
    """Replicas wanted now. A victim with `if_idle` still counts: once it has agreed to go, the caller gives it up and
    lowers the target of the state by one."""
    victims: tuple[Victim, ...]
    """Replicas that are to go, first first."""
    cordoned: frozenset[str]
    """Replicas that are the last choice for new streams, as surplus."""
    reason: Reason
    inputs: Mapping[str, float]
    """What the decision was based on: stable names, see penstock_controller.scaling.policy."""
    evaluate_again_at: float | None
    """Monotonic seconds by which to look again even when nothing changes; None when only a change matters."""
