from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import pytest

from penstock_controller.actuators.builds import BuildEnd, BuildListener, BuildSpec
from penstock_controller.building import BUILDS_MAX, NO_ENGINE, Builds
from penstock_controller.records import Build, BuildState, Deployment
from penstock_controller.registry import Registry
from penstock_controller.store import Store
from penstock_controller.world import World
from penstock_testing.controller_parts import FakeActuator, ManualClock, deployment


class FakeEngine:
    """Builds that exist by name only; a test ends them."""

    def __init__(self) -> None:
        self.builds: list[str] = []
        self.stopped: list[str] = []
        self.forgotten: list[tuple[str, str | None]] = []
        self.on_end: BuildListener = lambda _: None

    async def open(self, on_end: BuildListener) -> None:
        self.on_end = on_end

    def running(self) -> Collection[str]:
        return tuple(self.builds)

    def start(self, spec: BuildSpec) -> None:
        self.builds.append(spec.deployment_id)

    def stop(self, deployment_id: str) -> None:
        self.stopped.append(deployment_id)

    def forget(self, deployment_id: str, source: str | None) -> None:
        self.forgotten.append((deployment_id, source))

    async def close(self) -> None:
        pass

    def end(self, ended: BuildEnd) -> None:
        self.builds.remove(ended.deployment_id)
        self.on_end(ended)


class Parts:
    """Builds of one controller life on a store of its own."""

    def __init__(self, folder: Path, *deployments: Deployment) -> None:
        self.clock = ManualClock()
        self.store = Store(folder / "controller.db")
        self.world = World(
            registry=Registry(epoch=1, now=0.0),
            store=self.store,
            actuator=FakeActuator(),
            clock=self.clock,
            wall=self.clock.wall,
        )
        for number, one in enumerate(deployments):
            self.store.put_deployment(replace(one, created_wall=float(number)))
        self.world.load_state()
        self.engine = FakeEngine()
        self.builds = Builds(self.world, self.engine)

    def build(self, deployment_id: str) -> Build:
        return self.world.deployments[deployment_id].build

    def events(self) -> list[tuple[str, str]]:
        return [(event.kind, event.text) for event in self.store.journal.after(0)]


def waiting(deployment_id: str) -> Deployment:
    return deployment(deployment_id, build=Build(BuildState.WAITING))


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    made = Parts(tmp_path, waiting("a-1"), waiting("b-1"), waiting("c-1"), deployment("d-1"))
    asyncio.run(made.builds.open())
    return made


def test_the_oldest_are_built_first_and_only_so_many_at_once(parts: Parts) -> None:
    parts.builds.step()
    parts.builds.step()
    assert parts.engine.builds == ["a-1", "b-1"]
    assert len(parts.engine.builds) == BUILDS_MAX
    assert [parts.build(d).state for d in ("a-1", "c-1", "d-1")] == [
        BuildState.RUNNING,
        BuildState.WAITING,
        BuildState.NONE,
    ]
    parts.clock.now += 3
    parts.engine.end(BuildEnd("a-1", python="/env/python", problems=("no ffmpeg",)))
    parts.builds.step()
    assert parts.engine.builds == ["b-1", "c-1"]
    assert parts.build("a-1") == Build(BuildState.DONE, "no ffmpeg", "/env/python")
    assert ("build_finished", "after 3.0 s; no ffmpeg") in parts.events()


def test_a_failure_is_told_and_not_tried_again_by_itself(parts: Parts) -> None:
    parts.builds.step()
    parts.engine.end(BuildEnd("a-1", error="no such package"))
    parts.builds.step()
    parts.builds.step()
    assert parts.build("a-1") == Build(BuildState.FAILED, "no such package")
    assert "a-1" not in parts.engine.builds
    assert ("build_failed", "no such package") in parts.events()


@pytest.mark.parametrize(("stopped", "retired"), [(True, False), (False, True)])
def test_what_nobody_wants_any_more_is_ended_and_waits(parts: Parts, stopped: bool, retired: bool) -> None:
    parts.builds.step()
    parts.world.put_deployment(replace(parts.world.deployments["a-1"], stopped=stopped, retired=retired))
    parts.builds.step()
    assert parts.engine.stopped == ["a-1"]
    parts.engine.end(BuildEnd("a-1", was_cut=True))
    parts.builds.step()
    assert parts.build("a-1").state is BuildState.WAITING
    assert parts.engine.builds == ["b-1", "c-1"]


def test_a_build_that_left_no_trace_begins_anew_with_the_next_controller(tmp_path: Path) -> None:
    parts = Parts(tmp_path, deployment("a-1", build=Build(BuildState.RUNNING)))
    asyncio.run(parts.builds.open())
    parts.builds.step()
    assert parts.engine.builds == ["a-1"]


def test_a_build_that_runs_already_is_left_alone(tmp_path: Path) -> None:
    parts = Parts(tmp_path, deployment("a-1", build=Build(BuildState.RUNNING)))
    parts.engine.builds.append("a-1")
    asyncio.run(parts.builds.open())
    parts.builds.step()
    assert (parts.engine.builds, parts.build("a-1").state) == (["a-1"], BuildState.RUNNING)


def test_what_is_kept_of_a_forgotten_deployment_goes(parts: Parts) -> None:
    parts.world.forget(parts.world.deployments["a-1"])
    assert [name for name, _ in parts.engine.forgotten] == ["a-1"]


def test_weights_of_a_directory_are_let_go_with_its_last_deployment(parts: Parts) -> None:
    source = parts.world.deployments["a-1"].source
    parts.world.forget(parts.world.deployments["a-1"])
    remaining = [d for d in parts.world.deployments.values() if d.source == source]

    assert parts.engine.forgotten == [("a-1", None if remaining else source)]
    parts.engine.on_end(BuildEnd("a-1"))


def test_without_an_engine_a_build_fails(tmp_path: Path) -> None:
    parts = Parts(tmp_path, waiting("a-1"))
    builds = Builds(parts.world, None)
    asyncio.run(builds.open())
    builds.step()
    assert parts.build("a-1") == Build(BuildState.FAILED, NO_ENGINE)
    asyncio.run(builds.close())
