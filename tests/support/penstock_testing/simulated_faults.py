"""What goes wrong on a simulated platform, by the dice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock_testing.simulated_edge import until
from penstock_testing.simulated_runner import pause

if TYPE_CHECKING:
    from penstock_testing.simulated_platform import Platform

FAULTS = {
    "kill controller": 2.0,
    "kill controller at a statement": 2.0,
    "kill controller at a start": 1.0,
    "crash runner": 2.0,
    "restart edge": 0.5,
    "break control": 2.0,
    "break trunk": 0.5,
    "cut control": 2.0,
    "cut edge from controller": 1.0,
    "cut trunk": 0.7,
    "block runner": 1.0,
}
"""Weights."""


class Faults:
    """One fault after the other."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    async def run(self) -> None:
        """Until cancelled."""
        faults = self._platform.scenario.faults
        while faults:
            await pause(self._platform.random.expovariate(1 / self._platform.scenario.fault_every_s))
            fault = self._platform.random.choices(list(faults), list(faults.values()))[0]
            self._platform.trace(f"fault: {fault}")
            self._platform.counts[fault] += 1
            await self._do(fault)

    async def _do(self, fault: str) -> None:
        draw, life = self._platform.random, self._platform.life
        runners = self._platform.machine.alive()
        runner = draw.choice(runners) if runners else None
        edge = draw.choice(self._platform.edges)
        match fault:
            case "kill controller":
                if self._platform.scenario.overlaps and draw.random() < 0.7:
                    await self._platform.replace_controller(draw.uniform(1.0, 20.0))
                else:
                    await self._platform.restart_controller(draw.choice((0.0, 0.5, 3.0, 10.0)))
            case "kill controller at a statement" | "kill controller at a start":
                if life is None:
                    return
                if fault.endswith("start"):
                    life.kill_at_start()
                else:
                    life.kill_soon(draw.randint(0, 12))
                await until(lambda: not life.is_alive, draw.uniform(1.0, 15.0), 0.1)
                await self._platform.restart_controller(draw.choice((0.0, 0.5, 3.0)))
            case "crash runner" if runner is not None:
                self._platform.trace(f"{runner.replica_id} crashes with {runner.active_streams} streams")
                runner.crash(draw.choice((-9, -11, 3, 0)))
            case "restart edge":
                await self._platform.restart_edge(edge, draw.uniform(0.0, 3.0))
            case "break control" if runner is not None and life is not None:
                self._platform.network.break_calls(runner.node.name, life.node.name)
            case "break trunk" if runner is not None:
                self._platform.network.break_calls(runner.node.name, edge.node.name)
            case "cut control" if runner is not None and life is not None:
                self._cut(runner.node.name, life.node.name, draw.choice((0.3, 3.0, 8.0, 30.0, 80.0)))
            case "cut edge from controller" if life is not None:
                self._cut(edge.node.name, life.node.name, draw.choice((0.3, 3.0, 10.0, 30.0)))
            case "cut trunk" if runner is not None:
                self._cut(edge.node.name, runner.node.name, draw.choice((0.3, 3.0, 30.0)))
            case "block runner" if runner is not None and runner.is_ready:
                seconds = draw.choice((1.0, 7.0, 40.0))
                runner.block(seconds)
                for one in self._platform.edges:
                    self._platform.network.cut(one.node.name, runner.node.name, answers_pings=True)
                    self._platform.network.loop.call_later(
                        seconds, self._platform.network.heal, one.node.name, runner.node.name
                    )

    def _cut(self, one: str, other: str, seconds: float) -> None:
        self._platform.trace(f"{one} and {other} are cut off for {seconds} s")
        self._platform.network.cut(one, other)
        self._platform.network.loop.call_later(seconds, self._platform.network.heal, one, other)
