"""How many replicas a deployment should have, and which ones go: `decide`.

A pure function of what is asked for, what it remembers and what is observed, so that production, tests and the
simulator run the same code.
"""

from __future__ import annotations

from dataclasses import replace

from penstock_controller.scaling.config import Metric, ScalingConfig
from penstock_controller.scaling.decision import Decision, PolicyState, Reason
from penstock_controller.scaling.observation import Observation
from penstock_controller.scaling.requests import decide_requests
from penstock_controller.scaling.situation import Situation, survey
from penstock_controller.scaling.streams import decide_streams
from penstock_controller.scaling.surplus import drained
from penstock_controller.scaling.wording import amount

RULES = {
    "retired": "the deployment is being removed: its replicas are drained",
    "stopped": "an operator ended the replicas",
    "manual": "an operator asked for exactly this number",
    "paused": "an operator paused scaling by load: the number stays",
    "above_max": "there are more replicas than max_replica: those with the fewest streams are drained",
    "initial": "a new or restarted deployment begins with one replica",
    "promotion": "an environment waits for a ready replica of the deployment",
    "min_replica": "the least number of replicas",
    "from_zero": "streams wait and no replica is ready or starting: as many as they need at once",
    "burst": "more streams wait than slots are free or coming: as many replicas as they need at once",
    "buffer": "fewer slots than buffer_slots would be left",
    "trend": "streams get more so fast that the slots would run out while a replica starts",
    "all_busy": "every ready replica has max_concurrency - 1 streams or more, and none is starting: one more",
    "idle_replica": "a replica has had no stream for scale_down_delay: it goes if it still has none",
    "failing_replica": "a replica that fails again and again is needed by no stream: it goes",
    "superseded": "no environment points to the deployment: what is not ready is given up",
    "window": "the average number of requests over autoscaling_window asks for more",
    "low_load": "the average asked for less during scale_down_delay: replicas without requests go",
    "at_max": "the load asks for more, but max_replica is reached",
    "needed": "open streams on other chainlets of a superseded version may call this one: its last replica stays",
    "steady": "nothing has to change",
}
"""Every rule that a decision may name, with what it means."""

INPUTS = {
    "target_before": "replicas wanted before",
    "min_replica": "least replicas in force at that moment",
    "max_replica": "most replicas",
    "ready_replicas": "replicas that admit streams, the suspect ones included",
    "suspect_replicas": "ready replicas that were not heard of lately",
    "starting_replicas": "replicas that load",
    "vacant_places": "replicas that are about to be started, or started again",
    "crash_looping_replicas": "replicas that fail again and again",
    "idle_replicas": "ready replicas without streams",
    "active_streams": "streams on replicas that are not draining",
    "waiting_streams": "streams that wait at edges",
    "free_slots": "free slots of the ready replicas that are not suspect",
    "slots_per_replica": "max_concurrency",
    "load_asks_for": "replicas that the load alone asks for",
    "trigger_streams": "streams from which a replica counts as busy",
    "buffer_slots": "free slots that are kept",
    "busy_replicas": "ready replicas with trigger_streams or more",
    "expected_streams": "streams more to be expected in the time of a start, by the rise of the last seconds",
    "startup_s": "how long replicas took to start lately, in seconds; 0 when none was seen",
    "load": "requests that run or wait",
    "average_load": "their average over the window",
    "requests_per_replica": "max_concurrency x target_utilization_percentage",
}
"""Every input that a decision may carry, with what it means. The first 13 are always there."""


def decide(config: ScalingConfig, state: PolicyState, observation: Observation, now: float) -> Decision:
    """Chooses the number of replicas of one deployment.

    Never raises, and never reads a clock: `now` is monotonic seconds. The same arguments give the same decision. What
    an operator asked for comes before the rules, and scaling by load stays between the least and the most replicas.
    """
    situation = survey(config, state, observation, now)
    if config.retired:
        return _forced(situation, 0, "retired", "the deployment was removed")
    if config.stopped:
        return _forced(situation, 0, "stopped", "an operator ended all replicas")
    if config.manual_replicas is not None:
        number = max(0, config.manual_replicas)
        return _forced(situation, number, "manual", f"an operator asked for {amount(number, 'replica')}")
    if config.paused:
        text = f"an operator paused scaling at {amount(state.target, 'replica')}"
        blocked = (situation.failures(), "scaling is paused")
        return situation.decision(state.target, "paused", text, blocked=blocked)
    if situation.places > situation.maximum:
        return _forced(situation, situation.maximum, "above_max", f"max_replica is {situation.maximum}")
    if config.settings.metric is Metric.REQUESTS:
        return _explained(situation, decide_requests(situation))
    return _explained(situation, decide_streams(situation))


def _explained(situation: Situation, decision: Decision) -> Decision:
    """Says why a deployment that nothing points to keeps its last replica."""
    is_last = situation.floor == "needed" and 0 < decision.target <= situation.minimum
    if not is_last or decision.reason.rule != "steady":
        return decision
    why = situation.config.needed_by
    return replace(decision, reason=Reason("needed", why, "; ".join(filter(None, (decision.reason.blocked, why)))))


def _forced(situation: Situation, target: int, rule: str, text: str) -> Decision:
    victims = situation.drains(drained(situation.observation.replicas, target))
    recovering = len(situation.observation.replicas) > target and situation.observation.recovering
    blocked = (situation.failures() if target else "", situation.hindrance() if recovering else "")
    return situation.decision(target, rule, text, victims=victims, blocked=blocked)
