from __future__ import annotations

from dataclasses import fields, replace
from itertools import product

import pytest

from penstock_controller.phase import Circumstances, Phase, phase_of
from penstock_controller.records import BuildState

LIFE = [
    (Circumstances(build=BuildState.WAITING, target=1), Phase.BUILDING),
    (Circumstances(build=BuildState.RUNNING, target=1), Phase.BUILDING),
    (Circumstances(build=BuildState.FAILED, target=1), Phase.BUILD_FAILED),
    (Circumstances(build=BuildState.DONE, target=1), Phase.DEPLOYING),
    (Circumstances(target=1, starting=1), Phase.DEPLOYING),
    (Circumstances(target=1, loading=1), Phase.LOADING_MODEL),
    (Circumstances(target=1, failing=1), Phase.DEPLOY_FAILED),
    (Circumstances(target=1, failing=1, loading=1), Phase.DEPLOY_FAILED),
    (Circumstances(target=1, healthy=1, was_ready=True), Phase.ACTIVE),
    (Circumstances(target=2, healthy=1, loading=1, failing=1, was_ready=True), Phase.ACTIVE),
    (Circumstances(target=2, healthy=1, unhealthy=1, was_ready=True), Phase.ACTIVE),
    (Circumstances(target=1, healthy=1, was_ready=True, is_reloading=True), Phase.UPDATING),
    (Circumstances(target=2, healthy=1, draining=1, starting=1, was_ready=True), Phase.UPDATING),
    (Circumstances(target=1, healthy=1, draining=1, was_ready=True), Phase.ACTIVE),
    (Circumstances(target=1, unhealthy=1, was_ready=True), Phase.UNHEALTHY),
    (Circumstances(target=2, unhealthy=1, loading=1, was_ready=True), Phase.UNHEALTHY),
    (Circumstances(target=1, failing=1, starting=1, was_ready=True), Phase.UNHEALTHY),
    (Circumstances(target=1, failing=1, crash_looping=1, was_ready=True), Phase.FAILED),
    (Circumstances(was_ready=True), Phase.SCALED_TO_ZERO),
    (Circumstances(), Phase.SCALED_TO_ZERO),
    (Circumstances(draining=1, was_ready=True), Phase.SCALED_TO_ZERO),
    (Circumstances(target=1, was_ready=True), Phase.WAKING_UP),
    (Circumstances(target=1, loading=1, was_ready=True), Phase.WAKING_UP),
    (Circumstances(is_ended=True, draining=1, was_ready=True), Phase.DEACTIVATING),
    (Circumstances(is_ended=True, healthy=1, build=BuildState.RUNNING), Phase.DEACTIVATING),
    (Circumstances(is_ended=True, was_ready=True), Phase.INACTIVE),
]


@pytest.mark.parametrize(("seen", "phase"), LIFE)
def test_the_phase_follows_from_what_is_there(seen: Circumstances, phase: Phase) -> None:
    assert phase_of(seen) is phase


def test_every_phase_can_be_reached() -> None:
    assert {phase for _, phase in LIFE} == set(Phase)


def test_whatever_is_there_has_a_phase_and_only_a_healthy_replica_makes_it_active() -> None:
    numbers = [field.name for field in fields(Circumstances) if field.type == "int"]
    for values in product((0, 1), repeat=len(numbers)):
        for build, was_ready in product(BuildState, (False, True)):
            seen = replace(Circumstances(build=build, was_ready=was_ready), **dict(zip(numbers, values, strict=True)))  # type: ignore[arg-type]  # names of numbers
            if phase_of(seen) in (Phase.ACTIVE, Phase.UPDATING):
                assert seen.healthy and build in (BuildState.NONE, BuildState.DONE)
