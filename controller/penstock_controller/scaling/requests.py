"""The rule for requests: Baseten's window formula (facts: control_plane.md section 1.1).

    replicas = average load over the window / (max_concurrency x target utilization), rounded up

The load is what runs and what waits. Up at once; down in steps, and only replicas without a request.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from penstock_controller.scaling.decision import Decision, PolicyState, Victim
from penstock_controller.scaling.load_window import average
from penstock_controller.scaling.situation import Situation, next_removal, waits
from penstock_controller.scaling.wording import amount

LOOKS_PER_WINDOW = 20
"""How often to look while the average moves without an event: it may be late by a twentieth of the window."""

_ROUNDING = 1e-6
"""Replicas by which an average may exceed a whole number through rounding."""


@dataclass(frozen=True, slots=True)
class _Steps:
    """What goes now, or why nothing does."""

    text: str = ""
    victims: tuple[Victim, ...] = ()
    dropped: int = 0
    """Vacant places that are given up."""
    blocked: str = ""
    again_at: float | None = None


def decide_requests(situation: Situation) -> Decision:
    """Follows the average load. Never raises."""
    settings, observation, places = situation.settings, situation.observation, situation.places
    samples = situation.state.samples
    load = situation.census.active_streams + observation.waiting_streams
    mean = average(samples, settings.autoscaling_window_s, situation.now)
    per_replica = max(1, settings.max_concurrency) * max(1.0, settings.target_utilization_percentage) / 100.0
    unhealthy = situation.census.unhealthy
    wanted = math.ceil(mean / per_replica - _ROUNDING)
    # Those that are unhealthy take no part of the load.
    wanted += unhealthy if wanted else 0
    rule, text = "window", f"{mean:.1f} requests on average, {per_replica:g} wanted per replica"
    if places == unhealthy and observation.waiting_streams > 0:
        at_once = unhealthy + math.ceil(observation.waiting_streams / per_replica - _ROUNDING)
        if at_once > wanted:
            wanted, rule, text = at_once, "from_zero", f"{waits(situation)} and no replica is ready or starting"
    inputs = {"load": load, "average_load": mean, "requests_per_replica": per_replica, "load_asks_for": wanted}
    target = max(situation.minimum, min(wanted, situation.maximum))
    moving_at = situation.now + settings.autoscaling_window_s / LOOKS_PER_WINDOW if len(samples) > 1 else None
    blocked = [situation.failures(), situation.beyond(wanted)]
    if target >= places:
        state = replace(situation.state, low_since=None)
        if target > places and wanted < target:
            rule, text = situation.floor, f"the least is {amount(target, 'replica')}"
        elif target == places:
            rule = "at_max" if wanted > target else "steady"
        return situation.decision(target, rule, text, blocked=blocked, inputs=inputs, again_at=moving_at, state=state)
    state = situation.state
    if state.low_since is None:
        state = replace(state, low_since=situation.now)
    steps = _down(situation, state, target)
    if steps.text:
        # The load has to ask for less during the whole delay again.
        state = replace(state, low_since=situation.now, last_removal_at=situation.now)
    return situation.decision(
        places - steps.dropped,
        "low_load" if steps.text else "steady",
        f"{text}; {steps.text}" if steps.text else text,
        victims=steps.victims,
        blocked=[*blocked, steps.blocked],
        inputs=inputs,
        again_at=min((at for at in (moving_at, steps.again_at) if at is not None), default=None),
        state=state,
    )


def _down(situation: Situation, state: PolicyState, target: int) -> _Steps:
    settings, census, now = situation.settings, situation.census, situation.now
    if hindrance := situation.hindrance():
        return _Steps(blocked=hindrance)
    due_at = now
    if not situation.winding_down and state.low_since is not None:
        due_at = state.low_since + settings.scale_down_delay_s
    if now < due_at:
        return _Steps(blocked=next_removal(due_at, now), again_at=due_at)
    excess = situation.places - target
    most = excess if situation.winding_down else max(1, int(excess * settings.max_scale_down_rate / 100.0))
    dropped = min(most, situation.droppable_vacancies)
    spare = census.heard - max(target - census.unhealthy, situation.ready_min)
    idle = sorted((since, replica_id) for replica_id, since in census.idle_since.items())
    unhealthy = sorted((since, replica_id) for replica_id, since in census.unhealthy_idle_since.items())
    # Those that take nothing go first.
    chosen = unhealthy[: most - dropped]
    chosen += idle[: max(0, min(most - dropped - len(chosen), spare))]
    going = dropped + len(chosen)
    if going == 0:
        return _Steps(blocked="the other replicas are still starting" if idle else "every replica serves requests")
    return _Steps(
        text=f"{amount(going, 'replica')} of {excess} too many",
        victims=tuple(Victim(replica_id, if_idle=True) for _, replica_id in chosen),
        dropped=dropped,
        again_at=now + settings.scale_down_delay_s,
    )
