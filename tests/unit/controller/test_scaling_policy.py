"""What an operator asked for, and what holds whatever is observed."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.placement import PlacementStrategy
from penstock_controller.records import ReplicaState
from penstock_controller.scaling.config import Metric, ScalingConfig, ScalingSettings
from penstock_controller.scaling.decision import Decision, PolicyState, Victim
from penstock_controller.scaling.observation import Observation, ReplicaObservation
from penstock_controller.scaling.policy import INPUTS, RULES, decide
from penstock_testing.scaling_kit import Watcher, config, failed, fleet, look, ready, seen, starting

# What an operator asked for.


@pytest.mark.parametrize("asked", ["retired", "stopped"])
def test_removed_or_stopped_deployment_is_drained(asked: str) -> None:
    decision = look(config(**{asked: True}, min_replica=3), seen(ready("busy", 5), starting("s"), waiting=9))

    assert (decision.target, decision.reason.rule) == (0, asked)
    assert decision.victims == (Victim("s", if_idle=False), Victim("busy", if_idle=False))


def test_number_that_an_operator_asked_for_holds_whatever_the_load() -> None:
    asked = config(manual_replicas=2, max_replica=1, superseded=True)

    more = look(asked, seen(waiting=100))
    assert (more.target, more.reason.rule, more.victims) == (2, "manual", ())
    assert more.reason.text == "an operator asked for 2 replicas"

    fewer = look(asked, seen(*fleet(4, 0, 7), failed("f")))
    assert fewer.victims == (Victim("f", if_idle=False), Victim("r1", if_idle=False))


def test_number_that_an_operator_asked_for_holds_while_scaling_by_load_is_paused() -> None:
    assert look(config(manual_replicas=2, paused=True), seen(*fleet(4))).target == 2


@pytest.mark.parametrize("metric", list(Metric))
def test_paused_deployment_stays_as_it_is(metric: Metric) -> None:
    paused = config(paused=True, metric=metric, min_replica=4, max_replica=5, scale_down_delay_s=0.0)

    for target, observation in ((2, seen(*fleet(8, 8), waiting=50)), (7, seen(*fleet(*[0] * 7))), (0, seen(waiting=1))):
        decision = look(paused, observation, target=target)
        assert (decision.target, decision.victims, decision.reason.rule) == (target, (), "paused")
        assert decision.reason.blocked == "scaling is paused"


def test_idle_time_counts_while_scaling_is_paused() -> None:
    watcher = Watcher(config(paused=True, scale_down_delay_s=30.0), target=2)
    watcher.look(seen(*fleet(1, 0)), 0.0)
    watcher.scaling = replace(watcher.scaling, paused=False)

    assert watcher.look(seen(*fleet(1, 0)), 30.0).victims == (Victim("r1", if_idle=True),)


@pytest.mark.parametrize("metric", list(Metric))
def test_lowering_max_replica_drains_the_surplus_and_cuts_nothing(metric: Metric) -> None:
    decision = look(config(max_replica=2, metric=metric), seen(*fleet(4, 1, 7), starting("s")))

    assert (decision.target, decision.reason.rule) == (2, "above_max")
    assert decision.victims == (Victim("s", if_idle=False), Victim("r1", if_idle=False))


@pytest.mark.parametrize("asked", [{"retired": True}, {"manual_replicas": 1}, {"max_replica": 1}])
def test_nothing_is_ended_before_every_replica_was_heard_of(asked: dict[str, Any]) -> None:
    decision = look(config(**asked), seen(*fleet(1, 2, 3), recovering=True))

    assert decision.victims == ()
    assert decision.reason.blocked == "the controller has restarted and has not heard of every replica yet"


def test_new_deployment_begins_with_one_replica_and_keeps_it_until_it_was_idle() -> None:
    watcher = Watcher(config(initial=True, scale_down_delay_s=30.0))
    assert watcher.look(seen(), 0.0).target == 1
    watcher.scaling = config(scale_down_delay_s=30.0)

    assert watcher.look(seen(vacant=1), 1.0).target == 1
    assert watcher.look(seen(starting("r0")), 100.0).target == 1
    assert watcher.look(seen(ready("r0")), 200.0).victims == ()
    assert watcher.look(seen(ready("r0")), 230.0).victims == (Victim("r0", if_idle=True),)


# What holds always.

replicas = st.builds(
    ReplicaObservation,
    replica_id=st.integers(0, 99).map("r{:02}".format),
    state=st.sampled_from([ReplicaState.READY] * 4 + list(ReplicaState)),
    active_streams=st.sampled_from([0, 0, 0, 1, 6, 7, 8, 20]),
    stream_capacity=st.sampled_from([0, 1, 8, 8, 16]),
    suspect=st.sampled_from([False, False, False, True]),
    age_s=st.floats(0, 1e4),
    unhealthy=st.sampled_from([False, False, False, True]),
)
observations = st.builds(
    Observation,
    replicas=st.lists(replicas, max_size=10, unique_by=lambda r: r.replica_id),
    vacant_places=st.integers(0, 4),
    crash_looping=st.sampled_from([0, 0, 1, 5]),
    waiting_streams=st.sampled_from([0, 0, 0, 1, 9, 100]),
    removing=st.sampled_from([False, False, True]),
    recovering=st.sampled_from([False, False, True]),
)
settings = st.builds(
    lambda low, more, **others: ScalingSettings(min_replica=low, max_replica=max(1, low + more), **others),
    low=st.integers(0, 4),
    more=st.integers(0, 8),
    max_concurrency=st.sampled_from([1, 2, 8]),
    metric=st.sampled_from(list(Metric)),
    scale_down_delay_s=st.sampled_from([0.0, 5.0]),
    scale_down_interval_s=st.sampled_from([0.0, 10.0]),
    autoscaling_window_s=st.sampled_from([10.0, 60.0]),
    target_utilization_percentage=st.sampled_from([1.0, 70.0, 100.0]),
    max_scale_down_rate=st.sampled_from([1.0, 50.0]),
    buffer_slots=st.sampled_from([0, 0, 9]),
    placement=st.sampled_from(list(PlacementStrategy)),
    cordon_surplus=st.booleans(),
)
configs = st.builds(
    ScalingConfig,
    settings=settings,
    manual_replicas=st.sampled_from([None, None, None, None, 0, 3]),
    paused=st.sampled_from([False, False, False, True]),
    stopped=st.sampled_from([False, False, False, True]),
    retired=st.sampled_from([False, False, False, True]),
    superseded=st.sampled_from([False, False, True]),
    wanted_soon=st.booleans(),
    initial=st.booleans(),
)
looks = st.lists(st.tuples(st.floats(0, 20), observations), min_size=1, max_size=8)


def series(
    scaling: ScalingConfig, seen_at: list[tuple[float, Observation]]
) -> list[tuple[Observation, Decision, float]]:
    state, now, decisions = PolicyState(), 0.0, []
    for pause, observation in seen_at:
        now += pause
        decision = decide(scaling, state, observation, now)
        decisions.append((observation, decision, now))
        state = decision.state
    return decisions


@given(configs, looks)
def test_target_and_victims_are_always_allowed(
    scaling: ScalingConfig, seen_at: list[tuple[float, Observation]]
) -> None:
    own = scaling.settings
    automatic = not (scaling.paused or scaling.stopped or scaling.retired) and scaling.manual_replicas is None
    for observation, decision, now in series(scaling, seen_at):
        assert decision.target == decision.state.target >= 0
        least = 0 if scaling.superseded else own.min_replica
        if automatic:
            assert max(least, int(scaling.initial or scaling.wanted_soon)) <= decision.target <= own.max_replica
        by_id = {replica.replica_id: replica for replica in observation.replicas}
        asked = [by_id[victim.replica_id] for victim in decision.victims if victim.if_idle]
        assert all(r.state is ReplicaState.READY and not r.suspect and r.active_streams == 0 for r in asked)
        assert len({victim.replica_id for victim in decision.victims}) == len(decision.victims)
        if own.metric is Metric.STREAMS:
            assert len(asked) <= 1
        if asked:
            left = [r for r in by_id.values() if r.state is ReplicaState.READY and not r.suspect and r not in asked]
            assert automatic and len(left) >= least
            assert not observation.removing and observation.waiting_streams == 0
        if observation.recovering:
            assert decision.victims == ()
        assert decision.cordoned <= by_id.keys()
        assert decision.reason.rule in RULES and decision.reason.text
        assert decision.inputs.keys() <= INPUTS.keys()
        assert list(INPUTS)[:13] == list(decision.inputs)[:13]
        assert decision.evaluate_again_at is None or decision.evaluate_again_at >= now


@given(configs, looks)
def test_same_looks_give_the_same_decisions(scaling: ScalingConfig, seen_at: list[tuple[float, Observation]]) -> None:
    assert series(scaling, seen_at) == series(scaling, seen_at)


@given(configs, looks)
def test_look_at_its_own_deadline_follows_it(scaling: ScalingConfig, seen_at: list[tuple[float, Observation]]) -> None:
    """A caller that sleeps until the deadline does not find the same deadline there, and so does not spin."""
    observation, decision, now = series(scaling, seen_at)[-1]
    again_at = decision.evaluate_again_at
    if again_at is not None and again_at > now:
        following = decide(scaling, decision.state, observation, again_at)
        assert following.evaluate_again_at is None or following.evaluate_again_at > again_at or following.victims


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_is_explained_in_one_line(rule: str) -> None:
    assert RULES[rule] and "\n" not in RULES[rule]


# A closed loop: what is decided happens, and is observed.


class World:
    """Replicas that load, streams that are placed on the least used one, and a policy that looks every half second."""

    def __init__(self, scaling: ScalingConfig, load_s: float) -> None:
        self.scaling = scaling
        self.load_s = load_s
        self.now = 0.0
        self.state = PolicyState()
        self.streams: dict[str, int] = {}
        self.ready_at: dict[str, float] = {}
        self.waiting = 0
        self.names = map("r{:03}".format, count())
        self.targets: list[int] = []

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.place()
            self.look()
            self.now += 0.5

    def arrive(self, number: int) -> None:
        self.waiting += number

    def leave(self, number: int) -> None:
        for replica_id in sorted(self.streams, key=lambda i: (-self.streams[i], i)) * number:
            if number and self.streams[replica_id]:
                self.streams[replica_id] -= 1
                number -= 1

    def place(self) -> None:
        slots = self.scaling.settings.max_concurrency
        free = [i for i in self.streams if self.ready_at[i] <= self.now]
        while self.waiting and free and (best := min(free, key=lambda i: (self.streams[i], i))):
            if self.streams[best] >= slots:
                return
            self.streams[best] += 1
            self.waiting -= 1

    def look(self) -> None:
        slots = self.scaling.settings.max_concurrency
        observed = [
            ready(i, self.streams[i], slots) if self.ready_at[i] <= self.now else starting(i) for i in self.streams
        ]
        decision = decide(self.scaling, self.state, seen(*observed, waiting=self.waiting), self.now)
        self.state = decision.state
        for victim in decision.victims:
            assert victim.if_idle and self.streams[victim.replica_id] == 0
            del self.streams[victim.replica_id]
            self.state = replace(self.state, target=self.state.target - 1)
        while len(self.streams) < self.state.target:
            replica_id = next(self.names)
            self.streams[replica_id] = 0
            self.ready_at[replica_id] = self.now + self.load_s
        self.targets.append(self.state.target)


@given(
    max_concurrency=st.sampled_from([1, 2, 8]),
    first=st.integers(0, 40),
    ended=st.integers(0, 40),
    load_s=st.sampled_from([0.0, 3.0, 20.0]),
    delay_s=st.sampled_from([0.0, 5.0]),
    min_replica=st.integers(0, 3),
    buffer_slots=st.sampled_from([0, 5]),
    metric=st.sampled_from(list(Metric)),
    cordon_surplus=st.booleans(),
)
def test_constant_load_gives_a_constant_number_of_replicas(
    first: int, ended: int, load_s: float, delay_s: float, **own: Any
) -> None:
    scaling = config(
        **own, max_replica=60, scale_down_delay_s=delay_s, scale_down_interval_s=1.0, autoscaling_window_s=10.0
    )
    world = World(scaling, load_s)
    for arriving, leaving in ((first, 0), (0, ended)):
        world.arrive(arriving)
        world.leave(leaving)
        world.run(150.0)
        settled = world.targets[-100:]
        assert set(settled) == {settled[-1]}, "it flaps"
        assert world.waiting == 0, "it does not serve"
    slots = own["max_concurrency"]
    streams = sum(world.streams.values())
    assert world.targets[-1] >= max(own["min_replica"], -(-streams // slots))


def test_flash_crowd_gets_what_it_needs_and_little_more() -> None:
    world = World(config(max_replica=60, scale_down_delay_s=5.0, scale_down_interval_s=1.0), load_s=20.0)
    world.run(10.0)
    world.arrive(80)
    world.run(60.0)

    assert max(world.targets) == 11, "80 streams in 10 replicas of 8, and one to spare"
    assert world.waiting == 0
    world.leave(80)
    world.run(60.0)
    assert world.targets[-1] == 0
