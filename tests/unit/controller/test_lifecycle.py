from __future__ import annotations

import asyncio
from pathlib import Path

from penstock_controller.actuators.base import NoFreeGpuError, ReplicaProcess, ReplicaSpec
from penstock_controller.restarts import PlaceState
from penstock_testing.controller_parts import FakeActuator, controller_parts, deployment


class FullActuator(FakeActuator):
    """Has no free GPU until told."""

    is_full = True

    async def ensure(self, spec: ReplicaSpec) -> ReplicaProcess:
        if self.is_full:
            raise NoFreeGpuError("no free GPU: 1 of 1 is in use by other-1-abcde")
        return await super().ensure(spec)


def test_replica_is_started_with_what_its_deployment_asks_for(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with controller_parts(tmp_path) as parts:
            wanted = deployment(gpus=2, environment_variables={"OMP_NUM_THREADS": "1"})
            await parts.operations.apply([wanted], prune=True)
            await parts.until(lambda: len(parts.actuator.started) == 1)

            (spec,) = parts.actuator.started
            assert (spec.gpus, spec.environment_variables, spec.environment) == (
                2,
                {"OMP_NUM_THREADS": "1"},
                "production",
            )

    asyncio.run(scenario())


def test_place_without_a_free_gpu_waits_without_counting_failures_or_filling_the_journal(tmp_path: Path) -> None:
    async def scenario() -> None:
        actuator = FullActuator()
        async with controller_parts(tmp_path, actuator=actuator) as parts:
            await parts.operations.apply([deployment(gpus=1)], prune=True)
            for _ in range(10):
                parts.clock.now += 2.5
                await parts.settle()
            (place,) = parts.world.fleet.places("echo-1")
            assert place.restarts.state is PlaceState.WAITING_FOR_GPU
            assert not place.restarts.is_crash_looping(parts.clock.now)
            events = [e for e in parts.store.journal.after(0) if e.kind == "replica_not_started"]
            assert [event.text for event in events] == ["no free GPU: 1 of 1 is in use by other-1-abcde"]

            actuator.is_full = False
            parts.clock.now += 2.5
            await parts.until(lambda: len(actuator.running) == 1)

    asyncio.run(scenario())


def test_end_of_a_cordoned_replica_forgets_its_cordon(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with controller_parts(tmp_path) as parts:
            await parts.operations.apply([deployment()], prune=True)
            await parts.until(lambda: len(parts.actuator.running) == 1)
            (replica_id,) = parts.actuator.running
            parts.store.put_cordon(replica_id, True)
            parts.actuator.end(replica_id, -9)
            assert parts.store.cordons() == set()

    asyncio.run(scenario())
