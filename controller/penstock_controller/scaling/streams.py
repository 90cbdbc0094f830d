"""The rule for streams: they are long, never moved and never cut.

So replicas are added before the slots run out, by counts and not by averages, and only an empty one goes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from penstock_controller.records import ReplicaState
from penstock_controller.scaling.admissions import admitted, settled_at
from penstock_controller.scaling.decision import Decision, Victim
from penstock_controller.scaling.situation import Situation, next_removal, waits
from penstock_controller.scaling.trend import changes_at, expected, startup_s
from penstock_controller.scaling.wording import amount, seconds_left, verb


@dataclass(frozen=True, slots=True)
class _Wish:
    """What the load asks for, whatever is allowed. Never less than there is."""

    replicas: int
    rule: str
    text: str
    again_at: float | None = None


def decide_streams(situation: Situation) -> Decision:
    """Adds as many replicas as the load needs, or removes one that it does not. Never raises."""
    places = situation.places
    wish = _wish(situation)
    inputs = {
        "trigger_streams": _trigger(situation),
        "buffer_slots": _buffer(situation),
        "busy_replicas": situation.census.busy,
        "expected_streams": _expected(situation),
        "startup_s": startup_s(situation.state.startups),
        "load_asks_for": wish.replicas,
    }
    cordoned = _cordoned(situation, wish)
    # Where more replicas fail than work, one more would most likely fail, too.
    held = wish.replicas > places and situation.crash_looping > situation.census.ready
    wanted = places if held else wish.replicas
    target = max(situation.minimum, min(wanted, situation.maximum))
    blocked = [situation.failures() + (", none is added until they work" if held else ""), situation.beyond(wanted)]
    if target > places:
        rule, text = wish.rule, wish.text
        if wanted < target:
            rule, text = situation.floor, f"the least is {amount(target, 'replica')}"
        return situation.decision(
            target, rule, text, blocked=blocked, cordoned=cordoned, inputs=inputs, again_at=wish.again_at
        )
    if wish.replicas > places:
        rule = "steady" if held else "at_max"
        return situation.decision(
            target, rule, _usage(situation), blocked=blocked, cordoned=cordoned, inputs=inputs, again_at=wish.again_at
        )
    removal = _removal(situation)
    return situation.decision(
        places - removal.dropped,
        removal.rule or "steady",
        removal.text or _usage(situation),
        victims=removal.victims,
        blocked=[*blocked, removal.blocked],
        cordoned=cordoned,
        inputs=inputs,
        again_at=_earliest(wish.again_at, removal.again_at),
        state=replace(situation.state, last_removal_at=situation.now) if removal.rule else None,
    )


# Up.


def _wish(situation: Situation) -> _Wish:
    census, places = situation.census, situation.places
    slots = max(1, situation.settings.max_concurrency)
    buffer = _buffer(situation)
    waiting = situation.observation.waiting_streams
    fresh = max(0, waiting - admitted(situation.state.admissions, census.active_streams))
    room = census.free_slots + situation.coming * slots
    rising, start = _expected(situation), startup_s(situation.state.startups)
    again_at = _earliest(
        settled_at(situation.state.admissions) if waiting > room else None,
        None if situation.winding_down else changes_at(situation.state.levels, start),
    )
    if waiting > 0 and census.ready == 0 and situation.coming == 0:
        wanted = max(places, census.unhealthy + -(-(waiting + buffer) // slots))
        text = f"{waits(situation)} and no replica is ready or starting"
        return _Wish(wanted, "from_zero", text)
    missing = fresh + buffer + rising - room
    if missing > 0:
        wanted = places + -(-missing // slots)
        coming = f"{census.free_slots} free and {situation.coming * slots} coming"
        if fresh > room:
            text = f"{amount(fresh, 'stream')} {verb(fresh, 'waits', 'wait')}, {coming}"
            return _Wish(wanted, "burst", text, again_at)
        if fresh + buffer > room:
            return _Wish(wanted, "buffer", f"buffer_slots is {buffer}, {coming}", again_at)
        text = f"{amount(rising, 'stream')} more to be expected in the {start:.0f} s of a start, {coming}"
        return _Wish(wanted, "trend", text, again_at)
    if census.heard and census.busy == census.heard and not situation.coming and not situation.winding_down:
        text = f"every ready replica has {_trigger(situation)} or more of {amount(slots, 'stream')}"
        return _Wish(places + 1, "all_busy", text, again_at)
    return _Wish(places, "steady", "", again_at)


def _trigger(situation: Situation) -> int:
    # max_concurrency - 1 would be 0 for 1, and an idle fleet would grow to its end.
    return max(1, situation.settings.max_concurrency - 1)


def _buffer(situation: Situation) -> int:
    return 0 if situation.winding_down else max(0, situation.settings.buffer_slots)


def _expected(situation: Situation) -> int:
    if situation.winding_down:
        return 0
    return expected(situation.state.levels, startup_s(situation.state.startups))


def _usage(situation: Situation) -> str:
    census = situation.census
    slots = census.active_streams + census.free_slots
    text = f"{census.active_streams} of {amount(slots, 'slot')} in use on {amount(census.ready, 'ready replica')}"
    if situation.coming:
        text += f", {amount(situation.coming, 'replica')} to come"
    return text


# Down.


@dataclass(frozen=True, slots=True)
class _Removal:
    """What goes, or why nothing does."""

    rule: str = ""
    text: str = ""
    victims: tuple[Victim, ...] = ()
    dropped: int = 0
    """Vacant places that are given up."""
    blocked: str = ""
    again_at: float | None = None


def _removal(situation: Situation) -> _Removal:
    if situation.places <= situation.minimum:
        return _Removal()
    failing = _failing(situation)
    if failing.rule and not situation.winding_down:
        return failing
    idle = _idle(situation)
    if failing.rule:
        return replace(failing, victims=idle.victims)
    if idle.rule:
        return idle
    return _Removal(blocked=idle.blocked or failing.blocked, again_at=_earliest(failing.again_at, idle.again_at))


def _failing(situation: Situation) -> _Removal:
    """Gives up a place whose replica fails again and again, with the delay of an idle one."""
    if not situation.droppable_vacancies:
        return _Removal()
    if hindrance := situation.hindrance():
        return _Removal(blocked=hindrance)
    since = situation.now if situation.state.failing_since is None else situation.state.failing_since
    due_at = _due_at(situation, since)
    if situation.now < due_at:
        return _Removal(blocked=next_removal(due_at, situation.now), again_at=due_at)
    if situation.winding_down:
        dropped = min(situation.droppable_vacancies, situation.places - situation.minimum)
        return _Removal("superseded", "no environment points to it any more", dropped=dropped)
    text = f"no stream needs it, and {situation.failures()}"
    return _Removal("failing_replica", text, dropped=1, again_at=_next_look(situation))


def _idle(situation: Situation) -> _Removal:
    """Names the replica that was idle longest."""
    census = situation.census
    idle = census.longest_idle
    if census.unhealthy_idle_since:
        return _unhealthy(situation)
    if idle is None:
        return _Removal()
    if hindrance := situation.hindrance():
        return _Removal(blocked=hindrance)
    left = census.heard - 1
    if left < situation.ready_min:
        if left < situation.healthy_min:
            return _Removal(blocked=f"the least is {situation.healthy_min}, and {census.heard} can be reached")
        return _Removal(blocked="the other replicas are still starting")
    if not situation.winding_down:
        # Without the spare the rule all_busy would add one again, and so on for as long as the streams last.
        if census.busy == left and (left or census.active_streams):
            busy = f"every replica at {_trigger(situation)} or more streams"
            return _Removal(blocked=f"removing the idle replica would leave {busy}")
        left_free = census.free_slots - idle.slots
        if left_free < _buffer(situation):
            return _Removal(blocked=f"buffer_slots is {_buffer(situation)}")
        if left_free < _buffer(situation) + _expected(situation):
            return _Removal(blocked=f"{amount(_expected(situation), 'stream')} more to be expected")
    due_at = _due_at(situation, idle.since)
    if situation.now < due_at:
        return _Removal(blocked=next_removal(due_at, situation.now), again_at=due_at)
    text = f"{idle.replica_id} has had no stream for {seconds_left(situation.now, idle.since)}"
    victims = (Victim(idle.replica_id, if_idle=True),)
    return _Removal("idle_replica", text, victims, again_at=_next_look(situation))


def _unhealthy(situation: Situation) -> _Removal:
    """Names the unhealthy replica that was idle longest: it goes before those that work."""
    if hindrance := situation.hindrance():
        return _Removal(blocked=hindrance)
    since, replica_id = min((since, replica_id) for replica_id, since in situation.census.unhealthy_idle_since.items())
    due_at = _due_at(situation, since)
    if situation.now < due_at:
        return _Removal(blocked=next_removal(due_at, situation.now), again_at=due_at)
    text = f"{replica_id} is unhealthy and has had no stream for {seconds_left(situation.now, since)}"
    return _Removal("idle_replica", text, (Victim(replica_id, if_idle=True),), again_at=_next_look(situation))


def _due_at(situation: Situation, since: float) -> float:
    if situation.winding_down:
        return situation.now
    settings, last = situation.settings, situation.state.last_removal_at
    due_at = since + settings.scale_down_delay_s
    return due_at if last is None else max(due_at, last + settings.scale_down_interval_s)


def _next_look(situation: Situation) -> float | None:
    # A victim's answer is an event. This is for what goes after it, and for an answer that never comes.
    return None if situation.winding_down else situation.now + situation.settings.scale_down_interval_s


def _earliest(*times: float | None) -> float | None:
    return min((at for at in times if at is not None), default=None)


# Fragments.


def _cordoned(situation: Situation, wish: _Wish) -> frozenset[str]:
    """Chooses the replica that is to empty itself when there are more than the streams need.

    The one that was chosen before stays, or two would take turns and neither would get empty.
    """
    census, observation = situation.census, situation.observation
    if not situation.settings.cordon_surplus or wish.replicas > situation.places:
        return frozenset()
    streams = census.active_streams + observation.waiting_streams
    needed = max(situation.minimum, streams // _trigger(situation) + 1)
    if census.heard <= needed or situation.places <= situation.minimum:
        return frozenset()
    able = [r for r in observation.replicas if r.state is ReplicaState.READY and not r.suspect and not r.unhealthy]
    before = [r for r in able if r.replica_id in situation.state.cordoned]
    chosen = min(before or able, key=lambda r: (r.active_streams, r.replica_id))
    return frozenset((chosen.replica_id,))
