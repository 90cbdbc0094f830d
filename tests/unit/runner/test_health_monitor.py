"""How a model is asked whether it is healthy, and who learns of the answers (truss.md section 2.7)."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import structlog

from penstock_runner.health import HealthThresholds
from penstock_runner.health_monitor import HealthMonitor
from penstock_runner.model.loaded import LoadedModel
from penstock_testing.virtual_time import run_virtual

THRESHOLDS = HealthThresholds(stop_traffic_s=30, restart_s=60)


class Scripted:
    """A model whose health a test sets. Its method is async: virtual time has no threads."""

    def __init__(self) -> None:
        self.answers: Callable[[], object] = lambda: True
        self.gate: asyncio.Event | None = None
        self.asked_at: list[float] = []

    async def is_healthy(self) -> object:
        self.asked_at.append(now())
        if self.gate is not None:
            await self.gate.wait()
        return self.answers()


class Bench:
    """A monitor that runs, and what it has said."""

    def __init__(self, instance: object) -> None:
        self.model = loaded(instance)
        self.said: list[Any] = []
        self.monitor = HealthMonitor(
            lambda: self.model,
            THRESHOLDS,
            on_traffic=lambda admits: self.said.append((now(), admits)),
            on_restart=lambda reason: self.said.append((now(), reason)),
        )
        self.task = asyncio.get_running_loop().create_task(self.monitor.run())

    async def until(self, time: float) -> None:
        loop = asyncio.get_running_loop()
        passed = asyncio.Event()
        loop.call_at(time, passed.set)
        await passed.wait()


def on_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Lets pytest run an async test."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


def now() -> float:
    return asyncio.get_running_loop().time()


def loaded(instance: object) -> LoadedModel:
    return LoadedModel(instance, None, Path(__file__))


def on_a_bench(instance: object, main: Callable[[Bench], Coroutine[Any, Any, None]]) -> list[Any]:
    """Runs `main` in virtual time; returns the log."""

    async def run() -> None:
        bench = Bench(instance)
        await main(bench)
        bench.task.cancel()
        await asyncio.gather(bench.task, return_exceptions=True)

    with structlog.testing.capture_logs() as log:
        run_virtual(run())
    return log


def test_healthy_model_is_asked_every_ten_seconds_and_nobody_is_told() -> None:
    model = Scripted()

    async def main(bench: Bench) -> None:
        await bench.until(35)
        assert model.asked_at == pytest.approx([10, 20, 30])
        assert bench.said == []
        assert bench.monitor.note == ""

    assert on_a_bench(model, main) == []


def test_model_without_the_method_is_healthy() -> None:
    async def main(bench: Bench) -> None:
        await bench.monitor.wait_healthy()
        await bench.until(100)
        assert bench.said == []

    assert on_a_bench(object(), main) == []


def test_failing_model_loses_its_traffic_then_is_to_be_restarted_and_may_recover() -> None:
    model = Scripted()
    model.answers = lambda: False

    async def main(bench: Bench) -> None:
        await bench.until(105)
        (stopped_at, traffic), (restart_at, reason) = bench.said
        assert (stopped_at, traffic) == (pytest.approx(40), False)
        assert restart_at == pytest.approx(70)
        assert "`is_healthy` has failed for 60 s" in str(reason)
        assert bench.monitor.note == "`is_healthy` fails; admits no new calls"
        model.answers = lambda: True
        await bench.until(115)
        assert bench.said[2:] == [(pytest.approx(110), True)]
        assert bench.monitor.note == ""

    log = on_a_bench(model, main)
    events = [entry["event"] for entry in log]
    assert events.count("Health check failed.") == 10
    assert [event for event in events if event != "Health check failed."] == [
        "model_out_of_traffic",
        "model_restart_due",
        "model_healthy_again",
    ]
    assert log[0]["reason"] == "`is_healthy` returned False"


@pytest.mark.parametrize("error", [ValueError("no GPU"), SystemExit(1)])
def test_check_that_raises_has_failed_and_its_traceback_is_logged(error: BaseException) -> None:
    model = Scripted()

    def fail() -> object:
        raise error

    model.answers = fail

    async def main(bench: Bench) -> None:
        await bench.until(15)
        assert bench.monitor.note != ""

    (entry,) = on_a_bench(model, main)
    assert entry["event"] == "Health check failed."
    assert "test_health_monitor.py" in entry["exception"]
    assert type(error).__name__ in entry["exception"]


def test_answer_without_a_truth_value_has_failed() -> None:
    class Array:
        def __bool__(self) -> bool:
            raise ValueError("ambiguous")

    model = Scripted()
    model.answers = Array

    async def main(bench: Bench) -> None:
        await bench.until(15)
        assert bench.monitor.note != ""

    (entry,) = on_a_bench(model, main)
    assert "ValueError: ambiguous" in entry["exception"]


def test_check_that_hangs_has_failed_is_not_asked_again_and_counts_when_it_comes() -> None:
    model = Scripted()

    async def main(bench: Bench) -> None:
        model.gate = asyncio.Event()
        await bench.until(65)
        assert model.asked_at == pytest.approx([10])
        assert bench.said == [(pytest.approx(60), False)]
        model.gate.set()
        await bench.until(75)
        assert bench.said[1:] == [(pytest.approx(70), True)]

    log = on_a_bench(model, main)
    assert log[0]["reason"] == "`is_healthy` has not answered within 10 s"


def test_model_is_waited_for_until_it_is_healthy_with_growing_pauses() -> None:
    model = Scripted()
    model.answers = lambda: len(model.asked_at) > 7

    async def main(bench: Bench) -> None:
        bench.task.cancel()
        await bench.monitor.wait_healthy()
        assert model.asked_at == pytest.approx([0, 1, 3, 7, 15, 25, 35, 45])
        assert bench.said == []

    on_a_bench(model, main)


def test_after_a_hot_reload_the_new_code_is_asked_though_the_old_hangs() -> None:
    old, new = Scripted(), Scripted()

    async def main(bench: Bench) -> None:
        old.gate = asyncio.Event()
        await bench.until(15)
        bench.model = loaded(new)
        await bench.until(35)
        assert old.asked_at == pytest.approx([10])
        assert new.asked_at == pytest.approx([30])
        assert bench.monitor.note == ""

    on_a_bench(old, main)


@on_a_loop
async def test_sync_method_that_hangs_does_not_stop_the_loop() -> None:
    gate = threading.Event()

    class Model:
        def is_healthy(self) -> bool:
            return gate.wait(20)

    model = loaded(Model())
    said: list[bool] = []
    changed = asyncio.Event()

    def on_traffic(admits: bool) -> None:
        said.append(admits)
        changed.set()

    monitor = HealthMonitor(
        lambda: model,
        HealthThresholds(stop_traffic_s=0, restart_s=1000),
        on_traffic=on_traffic,
        on_restart=lambda reason: None,
        interval_s=0.001,
        answer_s=0.001,
    )
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        task = group.create_task(monitor.run())
        await changed.wait()
        changed.clear()
        gate.set()
        await changed.wait()
        task.cancel()

    assert said[:2] == [False, True]
